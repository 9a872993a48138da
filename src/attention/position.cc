#include "attention/position.h"

#include <cmath>
#include <vector>

#include "base/result.h"

namespace weir::attention {

double alibi_slope(std::size_t head, std::size_t heads) { return std::exp2(-8.0 * static_cast<double>(head + 1) / static_cast<double>(heads)); }

template <class T>
void rope(View<T> x, std::size_t heads, Turn turn, std::size_t first) {
  CHECK(heads > 0 && x.columns % heads == 0 && x.columns / heads % 2 == 0);
  const std::size_t head = x.columns / heads, pairs = head / 2;
  std::vector<double> frequency(pairs);
  for (std::size_t k = 0; k < pairs; ++k) frequency[k] = std::pow(10000.0, -2.0 * static_cast<double>(k) / static_cast<double>(head));
  for (std::size_t r = 0; r < x.rows; ++r)
    for (std::size_t k = 0; k < pairs; ++k) {
      const double angle = static_cast<double>(first + r) * frequency[k];
      const T c = static_cast<T>(std::cos(angle)), s = static_cast<T>(turn == Turn::forward ? std::sin(angle) : -std::sin(angle));
      for (std::size_t h = 0; h < heads; ++h) {
        T* pair = x.data + r * x.stride + h * head + 2 * k;
        const T a = pair[0], b = pair[1];
        pair[0] = a * c - b * s;
        pair[1] = a * s + b * c;
      }
    }
}

template void rope(View<float>, std::size_t, Turn, std::size_t);
template void rope(View<double>, std::size_t, Turn, std::size_t);

}  // namespace weir::attention
