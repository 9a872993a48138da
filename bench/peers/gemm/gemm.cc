// oneDNN's and OpenBLAS's matrix products at the encoder's shapes: weights packed before, one thread, best of bursts of CPU time. See ./run.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <cblas.h>
#include <oneapi/dnnl/dnnl.hpp>

namespace {

double now() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

template <class F>
void tell(const char* who, const char* format, long rows, long inputs, long outputs, int bursts, F&& multiply) {
  multiply();
  double began = now();
  multiply();
  const int times = static_cast<int>(std::clamp(1e-3 / std::max(1e-7, now() - began), 1.0, 1e4));
  double best = 1e9;
  for (int b = 0; b < bursts; ++b) {
    began = now();
    for (int i = 0; i < times; ++i) multiply();
    best = std::min(best, (now() - began) / times);
  }
  std::printf("bench gemm  peer %s  format %s  rows %ld  inputs %ld  outputs %ld  GOPS %.1f\n", who, format, rows, inputs, outputs,
              2e-9 * static_cast<double>(rows * inputs * outputs) / best);
}

using Type = dnnl::memory::data_type;

void one_dnn(const char* format, Type a, Type w, Type c, long rows, long inputs, long outputs, int bursts) try {
  using Tag = dnnl::memory::format_tag;
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const dnnl::memory::desc am({rows, inputs}, a, Tag::ab), wm({inputs, outputs}, w, Tag::any), cm({rows, outputs}, c, Tag::ab);
  const dnnl::matmul::primitive_desc what(dnnl::matmul::desc(am, wm, cm), engine);
  dnnl::memory left(am, engine), right(what.weights_desc(), engine), out(cm, engine);
  for (const dnnl::memory* m : {&left, &right}) std::fill_n(static_cast<char*>(m->get_data_handle()), m->get_desc().get_size(), char{0});
  dnnl::matmul product(what);
  tell("oneDNN", format, rows, inputs, outputs, bursts, [&] {
    product.execute(stream, {{DNNL_ARG_SRC, left}, {DNNL_ARG_WEIGHTS, right}, {DNNL_ARG_DST, out}});
    stream.wait();
  });
} catch (const dnnl::error& e) { std::printf("bench gemm  peer oneDNN  format %s: left out (%s)\n", format, e.what()); }

}  // namespace

int main(int count, char** values) {
  const int bursts = count > 1 ? std::atoi(values[1]) : 100;
  const long shapes[][3] = {{64, 384, 384}, {256, 384, 384}, {64, 384, 1536}, {64, 1536, 384}};
  for (const auto& [rows, inputs, outputs] : shapes) {
    one_dnn("f32", Type::f32, Type::f32, Type::f32, rows, inputs, outputs, bursts);
    one_dnn("bf16", Type::bf16, Type::bf16, Type::f32, rows, inputs, outputs, bursts);
    one_dnn("int8", Type::u8, Type::s8, Type::f32, rows, inputs, outputs, bursts);
    const std::vector<float> a(static_cast<std::size_t>(rows * inputs), 1.0F), w(static_cast<std::size_t>(inputs * outputs), 0.5F);
    std::vector<float> c(static_cast<std::size_t>(rows * outputs));
    tell("OpenBLAS", "f32", rows, inputs, outputs, bursts, [&, rows = rows, inputs = inputs, outputs = outputs] {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(rows), static_cast<int>(outputs), static_cast<int>(inputs), 1, a.data(),
                  static_cast<int>(inputs), w.data(), static_cast<int>(outputs), 0, c.data(), static_cast<int>(outputs));
    });
  }
}
