// How fast texts become vectors: equal lengths, a ragged stream, one text alone. CPU time of the process, the median of interleaved repeats.
//
//   weir_encode_bench [--model NAME] [--precision P] [--threads N] [--seconds S] [--texts FILE] [--json 1]
//   weir_encode_bench … --encode FILE --vectors FILE      no timing: a text a line in, raw f32 out
//
// --texts FILE: the ragged stream, a text a line (else lengths from a log-normal law). --json 1: every repeat of every set, for bench/peers/encoder.
#include <time.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "base/executor.h"
#include "encode/encoder.h"
#include "engine/threads.h"
#include "math/cpu.h"

namespace {

using weir::Encoder;
using weir::Executor;

double seconds_of(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

constexpr std::string_view words[] = {"the", "river", "carries", "what", "people", "read", "every", "day", "and", "some", "of", "it", "matters"};

std::string text_of(const Encoder& encoder, std::size_t length, std::size_t seed) {
  std::string text;
  for (std::size_t w = 0; encoder.tokenize(text).size() < length; ++w) {
    if (!text.empty()) text += ' ';
    text += words[(seed * 7 + w * 3) % std::size(words)];
  }
  return text;
}

std::vector<std::string> read_lines(const std::string& file) {
  std::vector<std::string> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

int write_vectors(const Encoder& encoder, const std::string& from, const std::string& to, const Executor& executor) {
  const std::vector<std::string> texts = read_lines(from);
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const weir::Matrix m = encoder.encode(views, executor);
  std::ofstream(to, std::ios::binary).write(reinterpret_cast<const char*>(m.values.data()), static_cast<std::streamsize>(m.values.size() * 4));
  return 0;
}

double resident_mb() {  // of this process, now
  std::ifstream in("/proc/self/statm");
  double all = 0, resident = 0;
  in >> all >> resident;
  return resident * 4096e-6;
}

struct Set {
  std::string name;
  std::vector<std::string> texts;
  std::size_t tokens = 0;
  std::vector<double> cpu, wall;
};

}  // namespace

int main(int count, char** values) {
  std::string model = "minilm", precision, texts, vectors, lines;
  bool as_json = false;
  std::size_t threads = 1;
  double limit = 6;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view key = values[i];
    if (key == "--model") model = values[i + 1];
    if (key == "--precision") precision = values[i + 1];
    if (key == "--threads") threads = static_cast<std::size_t>(std::atoi(values[i + 1]));
    if (key == "--seconds") limit = std::atof(values[i + 1]);
    if (key == "--texts") texts = values[i + 1];
    if (key == "--vectors") vectors = values[i + 1];
    if (key == "--encode") lines = values[i + 1];
    if (key == "--json") as_json = true;
  }
  const double before = seconds_of(CLOCK_MONOTONIC);
  auto encoder = Encoder::load(model, {.precision = weir::parse_precision(precision), .cache = 0});
  if (!encoder) return fmt::print(stderr, "{}\n", encoder.error().text()), 1;
  weir::ThreadPool pool(threads);
  if (!lines.empty()) return write_vectors(*encoder, lines, vectors, pool.executor());
  if (!as_json)
    fmt::print("{} on {}, {} threads, loaded in {:.3f} s; {:.1f} MB resident, {:.1f} MB of them weights\n", encoder->model_id(),
               weir::math::to_string(*weir::math::choose_row()), threads, seconds_of(CLOCK_MONOTONIC) - before, resident_mb(),
               static_cast<double>(encoder->bytes()) * 1e-6);

  std::vector<Set> sets;
  for (const std::size_t length : {std::size_t{16}, std::size_t{64}, std::size_t{128}, std::size_t{256}}) {
    Set set{fmt::format("{}", length), {}, 0, {}, {}};
    for (std::size_t i = 0; i < std::max<std::size_t>(8, 4096 / length); ++i) set.texts.push_back(text_of(*encoder, length, i));
    sets.push_back(std::move(set));
  }
  for (const std::size_t length : {std::size_t{8}, std::size_t{32}, std::size_t{128}})
    sets.push_back({fmt::format("one text of {}", length), {text_of(*encoder, length, 3)}, 0, {}, {}});
  Set ragged{"ragged", {}, 0, {}, {}};
  if (!texts.empty()) {
    ragged.texts = read_lines(texts);
  } else {
    std::uint64_t state = 11;
    const auto uniform = [&] { return static_cast<double>((state = state * 6364136223846793005ULL + 1442695040888963407ULL) >> 11U) / 9007199254740992.0; };
    for (std::size_t i = 0; i < 512; ++i) {  // mean 81, deviation 55
      const double normal = std::sqrt(-2 * std::log(uniform() + 1e-300)) * std::cos(6.283185307179586 * uniform());
      ragged.texts.push_back(text_of(*encoder, static_cast<std::size_t>(std::clamp(std::exp(4.2045 + 0.6140 * normal), 8.0, 256.0)), i));
    }
  }
  sets.push_back(std::move(ragged));
  for (Set& s : sets)
    for (const std::string& t : s.texts) s.tokens += encoder->tokenize(t).size();

  for (const Set& s : sets)  // weights and scratch are touched before anything is timed
    if (s.name == "16") (void)encoder->encode(std::vector<std::string_view>(s.texts.begin(), s.texts.end()), pool.executor());
  const std::size_t least = as_json ? 1 : 3;  // a race asks again and again
  const double began = seconds_of(CLOCK_MONOTONIC);
  for (std::size_t repeat = 0; repeat < least || (seconds_of(CLOCK_MONOTONIC) - began < limit && repeat < 2000); ++repeat)
    for (Set& s : sets) {
      const std::vector<std::string_view> views(s.texts.begin(), s.texts.end());
      const double wall = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
      const weir::Matrix m = encoder->encode(views, pool.executor());
      s.cpu.push_back(seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu);
      s.wall.push_back(seconds_of(CLOCK_MONOTONIC) - wall);
    }
  if (as_json) {
    fmt::print(R"({{"version": "{}", "isa": "{}", "figures": {{)", WEIR_VERSION, weir::math::to_string(*weir::math::choose_row()));
    for (const Set& s : sets) {
      std::string passes;
      for (std::size_t i = 0; i < s.wall.size(); ++i) passes += fmt::format("{}{:.1f}", i == 0 ? "" : ", ", static_cast<double>(s.tokens) / s.wall[i]);
      fmt::print(R"({}"{}": [{}])", &s == sets.data() ? "" : ", ",
                 s.name == "ragged"          ? "ragged/as they arrive"
                 : s.name.starts_with("one") ? s.name
                                             : s.name + "/as they arrive",
                 passes);
    }
    fmt::print("}}}}\n");
    return 0;
  }
  for (Set& s : sets) {
    std::ranges::sort(s.cpu);
    std::ranges::sort(s.wall);
    const auto tokens = static_cast<double>(s.tokens);
    fmt::print("{:<16} {:>9.0f} tok/s median  {:>9.0f} best  {:>8.3f} ms  {:>7.1f} us CPU a token\n", s.name, tokens / s.wall[s.wall.size() / 2],
               tokens / s.wall[0], s.wall[s.wall.size() / 2] * 1e3, s.cpu[s.cpu.size() / 2] / tokens * 1e6);
  }
  fmt::print("{:.1f} MB resident at the end, scratch and texts included\n", resident_mb());
  return 0;
}
