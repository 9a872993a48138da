// Weir's Executor: a few threads that run the pieces of a batch, with the caller as one of them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
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
  void help(std::size_t worker);

  std::mutex mutex_, batch_;
  std::condition_variable start_, finished_;
  std::size_t n_ = 0, next_ = 0;
  std::atomic<std::size_t> left_ = 0, batch_number_ = 0;
  void (*task_)(void*, std::size_t, std::size_t) = nullptr;
  void* argument_ = nullptr;
  std::atomic<bool> ending_ = false;
  std::vector<std::jthread> threads_;
};

// The machine's cores, or WEIR_THREADS.
std::size_t thread_count();
// Lets this thread stand back behind others, for work that nobody waits for.
void stand_back(int nice);

}  // namespace weir
