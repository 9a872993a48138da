#include "engine/threads.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace weir {

std::size_t thread_count() {
  if (const char* text = std::getenv("WEIR_THREADS")) {  // NOLINT(concurrency-mt-unsafe): read at start, nobody sets it
    std::size_t n = 0;
    const std::string_view view(text);
    if (std::from_chars(view.data(), view.data() + view.size(), n).ec == std::errc() && n > 0) return std::min<std::size_t>(n, 256);
  }
  return std::max(1u, std::thread::hardware_concurrency());
}

namespace {

// One text on two threads is some forty short batches: sleeping between them would cost more than they do.
template <class Done>
void yield_until(Done done) {
  for (int i = 0; i < 200 && !done(); ++i) std::this_thread::yield();
}

}  // namespace

void stand_back(int nice) { ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), nice); }

ThreadPool::ThreadPool(std::size_t threads, int nice) {
  for (std::size_t worker = 1; worker < threads; ++worker)
    threads_.emplace_back([this, worker, nice] {
      if (nice) stand_back(nice);
      help(worker);
    });
}

ThreadPool::~ThreadPool() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  start_.notify_all();
}

Executor ThreadPool::executor() {
  return {.threads = threads_.size() + 1,
          .run = [](void* self, std::size_t n, void (*task)(void*, std::size_t, std::size_t), void* argument) { static_cast<ThreadPool*>(self)->run(n, task, argument); },
          .self = this};
}

void ThreadPool::run(std::size_t n, void (*task)(void*, std::size_t, std::size_t), void* argument) {
  const std::scoped_lock one_at_a_time(batch_);
  std::unique_lock lock(mutex_);
  n_ = left_ = n;
  next_ = 0;
  task_ = task;
  argument_ = argument;
  ++batch_number_;
  start_.notify_all();
  while (next_ < n_) {
    const std::size_t i = next_++;
    lock.unlock();
    task(argument, i, 0);
    lock.lock();
    --left_;
  }
  lock.unlock();
  yield_until([&] { return left_ == 0; });
  lock.lock();
  finished_.wait(lock, [&] { return left_ == 0; });
}

void ThreadPool::help(std::size_t worker) {
  std::unique_lock lock(mutex_);
  std::size_t seen = 0;
  while (true) {
    lock.unlock();
    yield_until([&] { return ending_ || batch_number_ != seen; });
    lock.lock();
    start_.wait(lock, [&] { return ending_ || batch_number_ != seen; });
    if (ending_) return;
    seen = batch_number_;
    while (next_ < n_) {
      const std::size_t i = next_++;
      const auto task = task_;
      void* const argument = argument_;
      lock.unlock();
      task(argument, i, worker);
      lock.lock();
      if (--left_ == 0) finished_.notify_all();
    }
  }
}

}  // namespace weir
