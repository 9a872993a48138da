// `weir bench`: this machine at Weir's own work. The races against others are in bench/peers.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace weir::cli {

struct BenchArguments {
  std::string what, model = "e5-small", precision;
  std::vector<std::string> files;
  int repeats = 5;
  // attention
  std::vector<std::string> forms;  // empty: all
  std::vector<std::size_t> lengths{16, 64, 256, 1024, 4096}, heads{1, 4, 12};
  std::size_t head_columns = 32, width = 0, threads = 1;  // width: columns of all heads together; 0: heads · head_columns
  double seconds = 5;                                     // a run that would take longer is left out
  bool backward = true;
};

void add_bench_commands(CLI::App& app, BenchArguments& arguments);
int bench(const BenchArguments& arguments, bool as_json);
int bench_attention(const BenchArguments& arguments, bool as_json);  // bench_attention.cc
std::string cpu_name();

}  // namespace weir::cli
