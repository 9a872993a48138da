// `weir bench attention`: every form of attention over T keys, one table: time a token forward and backward, bytes while it runs, and of its stream.
#include <fmt/format.h>
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <functional>
#include <fstream>
#include <random>

#include "attention/attention.h"
#include "cli/bench.h"
#include "cli/terminal.h"
#include "engine/threads.h"

namespace weir::cli {
namespace {

using namespace attention;

struct Case {
  std::string name;
  Settings settings;
  Mask mask;
};

// Each form, and what else it can be: masks, shared keys, positions, normalisers. d: columns of a head.
std::vector<Case> cases(std::size_t heads, std::size_t d) {
  std::vector<Case> out;
  const auto add = [&](std::string name, Form form, const std::function<void(Settings&, Mask&)>& change = {}) {
    Case c{std::move(name), {.form = form, .heads = heads}, {}};
    if (std::ranges::find(forms(), form, &FormRow::form)->has_parameters) c.settings.model = heads * d;
    if (change) change(c.settings, c.mask);
    out.push_back(std::move(c));
  };
  for (const FormRow& row : forms()) {
    if (heads > 1 && !row.heads) continue;
    const std::string name(row.name);
    add(name, row.form, [](Settings& s, Mask&) {
      if (s.form == Form::time_decayed) s.tau = 3600;
    });
    if (row.form == Form::dot_product || row.form == Form::multi_head) {
      if (heads > 1) add(name + " mqa", row.form, [](Settings& s, Mask&) { s.kv_heads = 1; });
      if (heads % 4 == 0) add(name + " gqa", row.form, [](Settings& s, Mask&) { s.kv_heads = s.heads / 4; });
    }
    if (row.form == Form::dot_product) {
      add(name + " causal", row.form, [](Settings&, Mask& m) { m.causal = true; });
      add(name + " window 64", row.form, [](Settings&, Mask& m) {
        m.window = 64;
        m.causal = true;
      });
      add(name + " block 64", row.form, [](Settings&, Mask& m) { m.block = 64; });
      add(name + " alibi", row.form, [](Settings& s, Mask&) { s.position = Position::alibi; });
      if (d % 2 == 0) add(name + " rope", row.form, [](Settings& s, Mask&) { s.position = Position::rope; });
      for (const Normaliser n : {Normaliser::sparsemax, Normaliser::entmax15, Normaliser::top_k, Normaliser::sigmoid})
        add(name + " " + std::string(to_string(n)), row.form, [n](Settings& s, Mask&) { s.normaliser = n; });
    }
    if (row.form == Form::linear || row.form == Form::performer) add(name + " causal", row.form, [](Settings&, Mask& m) { m.causal = true; });
    if (row.form == Form::linear)
      add(name + " decay", row.form, [](Settings& s, Mask& m) {
        s.decay = 0.99;
        m.causal = true;
      });
    if (row.form == Form::time_decayed)
      add(name + " 20 keys", row.form, [](Settings& s, Mask&) {
        s.tau = 3600;
        s.effective_keys = 20;
      });
  }
  return out;
}

Array<float> noise(std::size_t rows, std::size_t columns, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Array<float> out(rows, columns);
  for (float& x : out.values) x = normal(random);
  return out;
}

double now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::size_t status_bytes(std::string_view key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key)) return 1024 * std::strtoull(line.c_str() + key.size() + 1, nullptr, 10);
  return 0;
}

// Bytes that f holds at its peak beyond what it returns, to the page: the process's high-water mark, with every large block taken from the kernel anew.
std::size_t scratch(const std::function<std::size_t()>& f) {
  // NOLINTBEGIN(concurrency-mt-unsafe): nothing else runs while this measures
  ::mallopt(M_MMAP_THRESHOLD, 4096);
  ::malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
  const std::size_t before = status_bytes("VmRSS"), returned = f(), peak = status_bytes("VmHWM");
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);  // as in a program that has run for a while: what was freed is kept
  ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
  // NOLINTEND(concurrency-mt-unsafe)
  return peak > before + returned ? peak - before - returned : 0;
}

// The best of at least three runs in 25 ms, or a tenth of what a run may take; one when a single run takes longer than that. The best, since whatever else the
// machine does only adds.
Result<double> time_of(double limit, const std::function<Status()>& f) {
  const double enough = std::min(0.025, limit / 10);
  std::vector<double> times;
  const double began = now();
  while (times.empty() || (now() - began < enough && times.size() < 1000) || (times.size() < 3 && times[0] < enough)) {
    const double start = now();
    TRY(f());
    times.push_back(now() - start);
  }
  return std::ranges::min(times);
}

template <class T>
std::size_t bytes(const Array<T>& a) {
  return a.values.size() * sizeof(T);
}

struct Row {
  double forward = 0, backward = 0, push = 0;  // seconds
  std::size_t forward_bytes = 0, backward_bytes = 0, state_bytes = 0;
};

Result<Row> measure(const Case& c, std::size_t length, std::size_t d, bool streams, const BenchArguments& arguments, const Executor& executor) {
  Settings s = c.settings;
  s.effective_keys = std::min(s.effective_keys, static_cast<double>(length));
  const std::size_t groups = s.kv_heads != 0 && s.form != Form::multi_head ? s.kv_heads : s.heads, wide = s.heads * d,
                    narrow = s.form == Form::additive || s.form == Form::candidate_pooling ? wide : groups * d;
  const bool asks = std::ranges::find(forms(), s.form, &FormRow::form)->has_query;
  const Array<float> q = asks ? noise(length, wide, 1) : Array<float>{}, k = noise(length, narrow, 2), v = noise(length, narrow, 3);
  const std::vector<float> age(s.form == Form::time_decayed ? length : 0, 60.0f);
  const Input<float> input{.q = q, .k = k, .v = v, .mask = c.mask, .age = age};
  const auto parameters = TRY(initialise<float>(s, 1));
  Row row;

  Output<float> output;
  const auto ahead = [&]() -> Status {
    output = TRY(attention::forward<float>(s, parameters, input, {}, executor));
    return {};
  };
  TRY(ahead());
  Status failed;
  row.forward_bytes = scratch([&] {
    const auto out = attention::forward<float>(s, parameters, input, {}, executor);
    if (!out) failed = std::unexpected(out.error());
    return out ? bytes(out->out) + out->log_sum_exp.size() * sizeof(float) : 0;
  });
  TRY(failed);
  row.forward = TRY(time_of(arguments.seconds, ahead));
  if (arguments.backward) {
    const Array<float> d_out = noise(output.out.rows, output.out.columns, 4);
    const auto back = [&]() -> Status {
      TRY(attention::backward<float>(s, parameters, input, output, d_out, executor));
      return {};
    };
    row.backward_bytes = scratch([&] {
      const auto out = attention::backward<float>(s, parameters, input, output, d_out, executor);
      if (!out) failed = std::unexpected(out.error());
      std::size_t sum = out ? bytes(out->q) + bytes(out->k) + bytes(out->v) : 0;
      if (out)
        for (const auto& parameter : out->parameters) sum += bytes(parameter.value);
      return sum;
    });
    TRY(failed);
    row.backward = TRY(time_of(arguments.seconds, back));
  }
  if (streams) {
    const bool fixed = s.form == Form::additive || s.form == Form::candidate_pooling || s.form == Form::time_decayed;  // these stream for one query
    auto stream =
        start_stream<float>(s, parameters, k.columns, v.columns, fixed ? View<const float>(q.values.data(), 1, q.columns) : View<const float>{}, c.mask.window);
    if (!stream) return row;  // this variant has none (dot_product without a window)
    row.push = TRY(time_of(arguments.seconds, [&]() -> Status {
      for (std::size_t i = 0; i < length; ++i) TRY(push<float>(*stream, k.row(i), v.row(i), s.form == Form::time_decayed ? 1.0f : 0.0f));
      return {};
    }));
    row.state_bytes = bytes(stream->state) + bytes(stream->keys) + bytes(stream->values);
  }
  return row;
}

std::string bytes_text(std::size_t n) {
  return n < 10000 ? fmt::format("{} B", n) : n < 10'000'000 ? fmt::format("{} kB", n / 1000) : fmt::format("{} MB", n / 1'000'000);
}

std::string scratch_text(std::size_t n) { return n < 4096 ? "< 4 kB" : bytes_text(n); }

}  // namespace

int bench_attention(const BenchArguments& arguments, bool as_json) {
  ThreadPool pool(arguments.threads);
  const Executor executor = arguments.threads > 1 ? pool.executor() : Executor{};
  std::vector<std::vector<std::string>> rows;
  Bar bar("measuring");
  std::size_t measured = 0, all = 0;
  for (const std::size_t heads : arguments.heads) all += cases(heads, arguments.head_columns).size() * arguments.lengths.size();
  for (const std::size_t heads : arguments.heads) {
    const std::size_t d = arguments.width != 0 ? arguments.width / heads : arguments.head_columns;
    if (d == 0 || (arguments.width != 0 && arguments.width % heads != 0))
      return print_error(
          {Code::invalid, fmt::format("{} columns do not part into {} heads", arguments.width, heads), "--width", "a multiple of every number of heads"},
          as_json);
    for (const Case& c : cases(heads, d)) {
      double longest = 0;  // seconds of the last run; a length whose run would take too long by it is left out
      for (const std::size_t length : arguments.lengths) {
        if (!as_json) bar.show(++measured, all);
        const FormRow& form = *std::ranges::find(forms(), c.settings.form, &FormRow::form);
        if (!arguments.forms.empty() && std::ranges::none_of(arguments.forms, [&](const std::string& word) { return c.name == word || form.name == word; }))
          continue;
        if (longest > arguments.seconds) {
          const std::string reason = fmt::format("a run would take some {:.2g} s, more than --seconds {}", longest, arguments.seconds);
          if (as_json) print_json({{"bench", "attention"}, {"form", c.name}, {"tokens", length}, {"heads", heads}, {"head_columns", d}, {"left_out", reason}});
          else rows.push_back({c.name, std::to_string(length), std::to_string(heads), "left out: " + reason});
          continue;
        }
        const auto row = measure(c, length, d, form.streams, arguments, executor);
        if (!row) return print_error(row.error(), as_json);
        longest = std::max(row->forward, row->backward) * (form.linear_cost || c.mask.window != 0 || c.mask.block != 0 ? 4 : 16);
        const double tokens = static_cast<double>(length) * 1e-9;
        if (as_json) {
          json::object o{{"bench", "attention"},
                         {"form", c.name},
                         {"tokens", length},
                         {"heads", heads},
                         {"head_columns", d},
                         {"threads", arguments.threads},
                         {"forward_ns", row->forward / tokens},
                         {"scratch_bytes", row->forward_bytes}};
          if (arguments.backward) o.insert({{"backward_ns", row->backward / tokens}, {"backward_scratch_bytes", row->backward_bytes}});
          if (row->push > 0) o.insert({{"push_ns", row->push / tokens}, {"state_bytes", row->state_bytes}});
          o["cpu"] = cpu_name();
          print_json(o);
        } else {
          rows.push_back({c.name, std::to_string(length), std::to_string(heads), fmt::format("{:.0f}", row->forward / tokens),
                          arguments.backward ? fmt::format("{:.0f}", row->backward / tokens) : "", scratch_text(row->forward_bytes),
                          arguments.backward ? scratch_text(row->backward_bytes) : "", row->push > 0 ? fmt::format("{:.0f}", row->push / tokens) : "",
                          row->push > 0 ? bytes_text(row->state_bytes) : ""});
        }
      }
    }
  }
  if (as_json) return done;
  if (!arguments.forms.empty() && rows.empty())
    return print_error({Code::invalid, "no such form", "--forms", "dot_product, \"dot_product causal\", …: as the table of all names them"}, as_json);
  print_line(fmt::format("{} columns a head, {} thread{}, f32, {}; a token is a row of keys",
                         arguments.width != 0 ? fmt::format("{}/heads", arguments.width) : std::to_string(arguments.head_columns), arguments.threads,
                         arguments.threads == 1 ? "" : "s", cpu_name()));
  print_table({"form", "tokens", "heads", "forward ns/token", "backward", "scratch", "backward", "push ns", "state"}, rows);
  return done;
}

}  // namespace weir::cli
