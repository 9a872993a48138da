// `weir bench`: this machine at Weir's own work. The races against others are in bench/peers.
#pragma once

#include <string>
#include <vector>

namespace CLI { class App; }

namespace weir::cli {

struct BenchArguments {
  std::string what, model = "e5-small", precision;
  std::vector<std::string> files;
  int repeats = 5;
};

void add_bench_commands(CLI::App& app, BenchArguments& arguments);
int bench(const BenchArguments& arguments, bool as_json);

}  // namespace weir::cli
