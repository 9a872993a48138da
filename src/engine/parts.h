// The engine's inside: what its files share. Nobody else includes this.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/queue.h"
#include "base/time.h"
#include "engine/encoding.h"
#include "engine/engine.h"
#include "engine/poller.h"
#include "engine/tastes.h"
#include "guard/guard.h"
#include "ingest/dialer.h"
#include "ingest/fetch.h"
#include "ingest/sandbox.h"
#include "store/store.h"

namespace weir {

struct Engine::Parts {
  EngineOptions options;
  SystemClock clock;
  std::unique_ptr<Sandbox> sandbox;  // first of all: its zygote is forked before anything else exists
  std::unique_ptr<store::Store> store;
  guard::Guard guard;
  Events events{static_cast<std::uint64_t>(to_micros(clock.now()))};
  std::unique_ptr<Encoding> encoding;  // null without a model
  std::unique_ptr<Tastes> tastes;
  std::unique_ptr<Poller> poller;

  // Wakes the housekeeper: something was stored that search has not indexed yet.
  std::mutex house_mutex;
  std::condition_variable_any house_wake;
  bool house_work = false;

  std::atomic<bool> running = false;
  std::vector<std::jthread> threads;  // stopped in the order of stop()
  std::jthread writer_thread;

  void wake_house();
  void keep_house(std::stop_token stop);  // search index, retention, dictionaries: housekeeping.cc
  // What a commit brought: events for the source's readers, work for the encoder and the housekeeper.
  void announce(SourceId source, const store::FetchResult& result);
};

// Guards items on their way in: the verdict is kept beside each, so that no list scans again.
std::vector<store::NewItem> guarded(const guard::Guard& guard, std::vector<Item> items);
// Text from outside that may stand in a log line, an error or a source's health.
std::string safe(const guard::Guard& guard, std::string_view text);

}  // namespace weir
