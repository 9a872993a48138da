#include "engine/threads.h"

#include <gtest/gtest.h>

#include <thread>

namespace weir {
namespace {

// Every piece once, no worker twice at a time, batch after batch of every size; then a pause, so that sleepers are woken too.
TEST(ThreadPool, RunsEveryPieceOnce) {
  for (const std::size_t threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    const Executor executor = pool.executor();
    std::vector<std::atomic<int>> busy(threads);
    for (std::size_t round = 0; round < 3000; ++round) {
      std::vector<std::atomic<int>> seen(round % 17);
      std::atomic<int> wrong = 0;
      executor.each(seen.size(), [&](std::size_t i, std::size_t worker) {
        if (busy[worker]++ != 0) ++wrong;
        ++seen[i];
        --busy[worker];
      });
      for (const auto& s : seen) ASSERT_EQ(s, 1);
      ASSERT_EQ(wrong, 0);
      if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

TEST(ThreadPool, CallersTakeTurns) {
  ThreadPool pool(3);
  std::atomic<int> pieces = 0;
  {
    std::vector<std::jthread> callers;
    for (int c = 0; c < 4; ++c)
      callers.emplace_back([&] {
        for (int round = 0; round < 500; ++round) pool.executor().each(7, [&](std::size_t, std::size_t) { ++pieces; });
      });
  }
  EXPECT_EQ(pieces, 4 * 500 * 7);
}

}  // namespace
}  // namespace weir
