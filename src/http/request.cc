#include "http/request.h"

#include <array>

#include "base/text.h"

namespace weir::http {
namespace {
constexpr std::array<std::string_view, 7> names{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
}

std::string_view to_string(Method method) {
  const auto at = static_cast<std::size_t>(method);
  return at < names.size() ? names[at] : std::string_view("OTHER");
}

Method method_named(std::string_view text) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == text) return static_cast<Method>(i);
  return Method::other;
}

std::string_view Request::header(std::string_view name) const {
  for (const Header& one : headers)
    if (one.name == name) return one.value;
  return {};
}

std::string_view Response::header(std::string_view name) const {
  for (const Header& one : headers)
    if (equal_ignoring_case(one.name, name)) return one.value;
  return {};
}

std::string_view Response::bytes() const {
  const auto* sealed = std::get_if<Sealed<std::string>>(&body);
  return sealed ? std::string_view(sealed->open()) : std::string_view();
}

}  // namespace weir::http
