// Where handlers run: a few threads behind a bounded queue, one Workers for each kind of work, so that the I/O thread never waits and slow work never
// stands before quick work. offer() answers false at once when the queue is full. Any thread may call offer(); the destructor finishes what is queued.
#pragma once

#include <cstddef>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "base/queue.h"

namespace weir::http {

class Workers {
 public:
  Workers(std::size_t threads, std::size_t waiting) : queue_(waiting) {
    for (std::size_t i = 0; i < threads; ++i)
      threads_.emplace_back([this] {
        while (auto work = queue_.pop()) (*work)();
      });
  }
  ~Workers() { queue_.close(); }
  bool offer(std::function<void()> work) { return queue_.try_push(std::move(work)); }

 private:
  Queue<std::function<void()>> queue_;
  std::vector<std::jthread> threads_;  // after the queue: joined before it goes
};

}  // namespace weir::http
