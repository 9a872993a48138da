#include "engine/threads.h"

#include <pthread.h>
#include <signal.h>
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

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// One text on two threads is some twenty short batches: sleeping between them would cost more than they do, and even yielding does. So some 20 µs of
// watching, as long as a batch takes, then a while of letting others run.
template <class Done>
void watch_until(Done done) {
  for (int i = 0; i < 1000; ++i, relax())
    if (done()) return;
  for (int i = 0; i < 100 && !done(); ++i) std::this_thread::yield();
}

}  // namespace

void stand_back(int nice) { ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), nice); }

ThreadPool::ThreadPool(std::size_t threads, int nice) {
  // Signals are for the thread that waits for them: a worker that took one would let it wait on.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (std::size_t worker = 1; worker < threads; ++worker)
    threads_.emplace_back([this, worker, nice] {
      if (nice) stand_back(nice);
      help(worker);
    });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ThreadPool::~ThreadPool() {
  ending_ = true;
  ticket_ += std::uint64_t{1} << 32U;
  ticket_.notify_all();
}

Executor ThreadPool::executor() {
  return {.threads = threads_.size() + 1,
          .run = [](void* self, std::size_t n, void (*task)(void*, std::size_t, std::size_t),
                    void* argument) { static_cast<ThreadPool*>(self)->run(n, task, argument); },
          .self = this};
}

void ThreadPool::run(std::size_t n, void (*task)(void*, std::size_t, std::size_t), void* argument) {
  const std::scoped_lock one_at_a_time(batch_);
  n_ = left_ = n;
  task_ = task;
  argument_ = argument;
  const std::uint64_t batch = (ticket_ >> 32U) + 1;
  ticket_ = batch << 32U | n;
  ticket_.notify_all();
  while (take(batch, 0)) {}
  watch_until([&] { return left_ == 0; });
  for (std::size_t left = left_; left != 0; left = left_) left_.wait(left);
}

// One piece of `batch`. The ticket is the batch and how many pieces nobody has taken: while there is one, no other batch begins, so when the exchange
// succeeds, what was read before it is of this batch.
bool ThreadPool::take(std::uint64_t batch, std::size_t worker) {
  std::uint64_t ticket = ticket_;
  while (ticket >> 32U == batch) {
    const std::size_t untaken = ticket & 0xFFFFFFFFU;
    if (untaken == 0) return false;
    const std::size_t i = n_ - untaken;
    const auto task = task_.load();
    void* const argument = argument_;
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1)) continue;
    task(argument, i, worker);
    if (--left_ == 0) left_.notify_all();
    return true;
  }
  return false;
}

void ThreadPool::help(std::size_t worker) {
  for (std::uint64_t seen = 0; !ending_;) {
    watch_until([&] { return ending_ || ticket_ >> 32U != seen; });
    for (std::uint64_t ticket = ticket_; ticket >> 32U == seen && !ending_; ticket = ticket_) ticket_.wait(ticket);
    seen = ticket_ >> 32U;
    while (take(seen, worker)) {}
  }
}

}  // namespace weir
