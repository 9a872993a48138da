// Who runs the pieces of a batch. attention and encode make no thread: they take an Executor from their caller.
#pragma once

#include <cstddef>
#include <type_traits>

namespace weir {

struct Executor {
  std::size_t threads = 1;  // how many pieces can run at once; workspaces are sized by it
  // Runs task(argument, i, worker) for every i in [0, n), with worker in [0, threads), no two at once with the same worker; returns when all are done.
  void (*run)(void* self, std::size_t n, void (*task)(void* argument, std::size_t i, std::size_t worker), void* argument) = nullptr;
  void* self = nullptr;

  // f(i, worker) for every i in [0, n).
  template <class F>
  void each(std::size_t n, F&& f) const {
    if (run == nullptr || threads <= 1 || n <= 1) {
      for (std::size_t i = 0; i < n; ++i) f(i, std::size_t{0});
      return;
    }
    run(self, n, [](void* argument, std::size_t i, std::size_t worker) { (*static_cast<std::remove_reference_t<F>*>(argument))(i, worker); }, &f);
  }
};

}  // namespace weir
