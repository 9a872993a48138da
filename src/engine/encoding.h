// Items get their vectors here: the newest first, in small batches, standing back behind requests. Also the means of the stream that ranking centres on.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "encode/encoder.h"
#include "store/store.h"

namespace weir {

// A unit vector as it is stored: one f32 scale and d int8 (388 bytes at d = 384; cosine to the original above 0.9999).
std::string pack_vector(std::span<const float> vector);
std::vector<float> unpack_vector(std::string_view bytes);  // empty when it is not one

// Which mean an item is centred on: the language of its title, as far as its script shows it.
enum class Script { other, cjk };
Script script_of(std::string_view title);

class Encoding {
 public:
  struct Progress {
    bool loaded = false;
    std::int64_t encoded = 0, queued = 0;
    std::string error;
    double items_per_second = 0;
    Encoder::CacheStats cache;
  };

  Encoding(store::Store& store, const Clock& clock, std::string model_name, std::size_t threads, std::function<void(const Progress&)> progress);
  ~Encoding();

  void run(std::stop_token stop);  // the loop, on a thread of its own
  void wake();                     // something was stored

  Progress progress() const;
  ModelId model_id() const;                      // empty until the model is loaded
  std::vector<float> mean(Script script) const;  // empty until something was encoded
  std::uint64_t mean_count() const;
  const std::string& model_name() const { return name_; }

 private:
  struct Mean {
    std::vector<double> sum;
    std::uint64_t count = 0;
  };
  Status load();
  Result<std::size_t> batch();  // how many were encoded; 0: nothing is queued
  void restore_means();
  Status keep_means(store::Writer& writer, const std::array<Mean, 2>& means) const;

  store::Store& store_;
  const Clock& clock_;
  const std::string name_;
  const std::size_t threads_;
  std::function<void(const Progress&)> tell_;
  std::unique_ptr<Encoder> encoder_;

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  bool woken_ = true;
  Progress progress_;
  ModelId model_id_;
  std::array<Mean, 2> means_;
};

}  // namespace weir
