#include "cli/bench.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <tuple>

#include "base/file.h"
#include "cli/terminal.h"
#include "encode/encoder.h"
#include "engine/parse_child.h"
#include "engine/threads.h"
#include "html/html.h"
#include "ingest/parse.h"
#include "math/cpu.h"
#include "math/probe.h"

namespace weir::cli {
namespace {

double cpu_seconds() {  // of this thread
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double wall_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void tell(const json::object& row, bool as_json) {
  if (as_json) return print_json(row);
  std::string line;
  for (const auto& member : row) {
    const std::string value = member.value().is_double()   ? fmt::format("{:.1f}", member.value().get_double())
                              : member.value().is_string() ? std::string(member.value().get_string())
                                                           : json::serialize(member.value());
    line += fmt::format("{}{} {}", line.empty() ? "" : "  ", std::string_view(member.key()), value);
  }
  print_line(line);
}

// Feeds in memory, one thread, no output: parsing alone, then with every item's HTML sanitised.
int bench_parse(const BenchArguments& arguments, bool as_json) {
  std::vector<std::string> documents;
  std::size_t bytes = 0;
  for (const std::string& name : arguments.files) {
    std::vector<std::string> names{name};
    std::error_code error;
    if (std::filesystem::is_directory(name, error)) {
      names.clear();
      for (const auto& entry : std::filesystem::recursive_directory_iterator(name, error))
        if (entry.is_regular_file(error)) names.push_back(entry.path().string());
    }
    for (const std::string& file : names) {
      auto document = read_file(file);
      if (!document) return print_error(document.error(), as_json);
      bytes += document->size();
      documents.push_back(std::move(*document));
    }
  }
  for (const bool sanitise : {false, true}) {
    HtmlTools tools{.text = [](std::string_view html) { return html::title_text(html); }};
    if (sanitise) tools.clean = [](std::string_view html, std::string_view base) { return html::clean(html, base, {.text = false}).html; };
    std::vector<double> seconds;
    std::size_t items = 0, understood = 0;
    for (int repeat = 0; repeat < arguments.repeats; ++repeat) {
      items = understood = 0;
      const double began = cpu_seconds();
      for (const std::string& document : documents) {
        ParseOptions options;
        options.html = tools;
        if (const auto feed = parse_feed(document, options)) {
          items += feed->items.size();
          ++understood;
        }
      }
      seconds.push_back(cpu_seconds() - began);
    }
    tell({{"bench", sanitise ? "parse+sanitise" : "parse"},
          {"MB/s", static_cast<double>(bytes) / 1e6 / median(seconds)},
          {"files", documents.size()},
          {"understood", understood},
          {"items", items},
          {"MB", static_cast<double>(bytes) / 1e6},
          {"cpu", cpu_name()}},
         as_json);
  }
  return done;
}

// Texts of equal length through the encoder: tokens a second, wall time, all threads.
int bench_encode(const BenchArguments& arguments, bool as_json) {
  Encoder::Options options{.precision = {}, .cache = 0};
  if (!arguments.precision.empty()) options.precision = parse_precision(arguments.precision);
  if (!arguments.precision.empty() && !options.precision)
    return print_error({Code::invalid, "no such precision: " + arguments.precision, "--precision", "f32, bf16, int8 or int8-portable"}, as_json);
  const auto encoder = Encoder::load(arguments.model, options);
  if (!encoder) return print_error(encoder.error(), as_json);
  ThreadPool pool(thread_count());
  static constexpr std::string_view words[] = {"the", "river", "carries", "what", "people", "read", "every", "day", "and", "some", "of", "it", "matters"};
  for (const std::size_t length : {std::size_t{16}, std::size_t{64}, std::size_t{128}, std::size_t{256}}) {
    std::vector<std::string> texts;
    std::size_t tokens = 0;
    for (std::size_t i = 0; i < std::max<std::size_t>(8, 8192 / length); ++i) {
      // Every model gets texts of exactly this length: a word of several tokens that goes beyond it gives way to one of one.
      std::string text;
      for (std::size_t w = 0, have = 0; have < length; ++w) {
        const std::size_t kept = text.size();
        text += std::string(text.empty() ? "" : " ") + std::string(words[(i * 7 + w * 3) % std::size(words)]);
        if ((have = encoder->tokenize(text).size()) > length) have = encoder->tokenize(text.replace(kept, std::string::npos, " the")).size();
      }
      tokens += encoder->tokenize(text).size();
      texts.push_back(std::move(text));
    }
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    std::vector<double> seconds;
    for (int repeat = 0; repeat < arguments.repeats; ++repeat) {
      const double began = wall_seconds();
      const Matrix vectors = encoder->encode(views, pool.executor());
      seconds.push_back(wall_seconds() - began);
      if (vectors.rows != views.size()) return failed;
    }
    tell({{"bench", "encode"},
          {"tokens/s", static_cast<double>(tokens) / median(seconds)},
          {"length", length},
          {"model", encoder->name()},
          {"precision", to_string(encoder->precision())},
          {"threads", thread_count()},
          {"cpu", cpu_name()}},
         as_json);
  }
  return done;
}

// Each CPU row that runs here (but scalar, the judge), each format: a product of the encoder's shapes, one thread, beside the peak of the row's own instructions.
int bench_kernels(const BenchArguments& arguments, bool as_json) {
  struct Shape {
    std::size_t rows, inputs, outputs;
  };
  static constexpr Shape shapes[] = {{64, 384, 384}, {256, 384, 384}, {64, 384, 1536}, {64, 1536, 384}};
  for (const math::Row row : math::all_rows) {
    if (row == math::Row::scalar) continue;
    const math::Kernels* kernels = math::kernels(row);
    if (kernels == nullptr) continue;
    for (const auto& [format, name, native] :
         {std::tuple(math::Format::f32, "f32", true), std::tuple(math::Format::bf16, "bf16", kernels->fast_bf16), std::tuple(math::Format::int8, "int8", true)})
      for (const Shape& s : shapes) {
        const math::Probe p = math::probe(*kernels, format, s.rows, s.inputs, s.outputs, 20 * arguments.repeats);
        tell({{"bench", "kernels"},
              {"row", math::to_string(row)},
              {"format", name},
              {"native", native},
              {"rows", s.rows},
              {"inputs", s.inputs},
              {"outputs", s.outputs},
              {"GOPS", p.product * 1e-9},
              {"peak", p.peak * 1e-9},
              {"percent", 100 * p.share()},
              {"cpu", cpu_name()}},
             as_json);
      }
  }
  return done;
}

}  // namespace

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown CPU";
}

void add_bench_commands(CLI::App& app, BenchArguments& arguments) {
  CLI::App* sub = app.add_subcommand("parse", "Feeds in memory, no output: MB/s of CPU time, without and with sanitising");
  sub->add_option("files", arguments.files, "Feeds, or folders of them")->required();
  sub->callback([&] { arguments.what = "parse"; });
  sub->add_option("--repeats", arguments.repeats, "How often; the median is told")->check(CLI::Range(1, 100))->capture_default_str();
  sub = app.add_subcommand("encode", "Texts of 16, 64, 128 and 256 tokens: tokens a second");
  sub->add_option("--model", arguments.model, "Its name or folder")->capture_default_str();
  sub->add_option("--precision", arguments.precision, "f32, bf16, int8 or int8-portable");
  sub->add_option("--repeats", arguments.repeats, "How often; the median is told")->check(CLI::Range(1, 100))->capture_default_str();
  sub->callback([&] { arguments.what = "encode"; });
  sub = app.add_subcommand("attention", "Every form of attention: nanoseconds a token forward and backward, and bytes");
  sub->add_option("--forms", arguments.forms, "Only these, as the table names them (a form's name stands for all of its kind)")->delimiter(',');
  sub->add_option("--lengths", arguments.lengths, "Numbers of tokens")->delimiter(',')->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub->add_option("--heads", arguments.heads, "Numbers of heads")->delimiter(',')->check(CLI::Range(1, 256))->capture_default_str();
  sub->add_option("--head-columns", arguments.head_columns, "Columns of a head")->check(CLI::Range(1, 4096))->capture_default_str();
  sub->add_option("--width", arguments.width, "Columns of all heads together, instead")->check(CLI::Range(1, 65536));
  sub->add_option("--threads", arguments.threads, "How many")->check(CLI::Range(1, 256))->capture_default_str();
  sub->add_option("--seconds", arguments.seconds, "Leave out what would take longer than this for one run, and say so")
      ->check(CLI::Range(0.001, 3600.0))
      ->capture_default_str();
  sub->add_flag("!--no-backward", arguments.backward, "Forward alone");
  sub->callback([&] { arguments.what = "attention"; });
  sub = app.add_subcommand("kernels",
                           "Matrix products of every CPU row that runs here and every precision, beside the peak of its instructions: GOPS, one thread");
  sub->add_option("--repeats", arguments.repeats, "Bursts, by twenties; the best is told")->check(CLI::Range(1, 100))->capture_default_str();
  sub->callback([&] { arguments.what = "kernels"; });
}

int bench(const BenchArguments& arguments, bool as_json) {
  if (const auto row = math::choose_row(); !row) return print_error(row.error(), as_json);
  if (arguments.what == "attention") return bench_attention(arguments, as_json);
  if (arguments.what == "kernels") return bench_kernels(arguments, as_json);
  return arguments.what == "parse" ? bench_parse(arguments, as_json) : bench_encode(arguments, as_json);
}

}  // namespace weir::cli
