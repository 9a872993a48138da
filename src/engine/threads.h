// Weir's Executor: a few threads that run the pieces of a batch, with the caller as one of them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "base/executor.h"

namespace weir {

class ThreadPool {
 public:
  // `nice`: how far these threads stand back behind others of the machine (0 … 19, as nice(1)).
  explicit ThreadPool(std::size_t threads, int nice = 0);
  ~ThreadPool();
  Executor executor();  // one batch at a time

 private:
  void run(std::size_t n, void (*task)(void*, std::size_t, std::size_t), void* argument);
  bool take(std::uint64_t batch, std::size_t worker);
  void help(std::size_t worker);

  std::mutex batch_;
  std::atomic<std::uint64_t> ticket_ = 0;  // the batch's number, and in 32 bits how many of its pieces nobody has taken
  std::atomic<std::size_t> n_ = 0, left_ = 0;
  std::atomic<void (*)(void*, std::size_t, std::size_t)> task_ = nullptr;
  std::atomic<void*> argument_ = nullptr;
  std::atomic<bool> ending_ = false;
  std::vector<std::jthread> threads_;
};

// The machine's cores, or WEIR_THREADS.
std::size_t thread_count();
// Lets this thread stand back behind others, for work that nobody waits for.
void stand_back(int nice);

}  // namespace weir
