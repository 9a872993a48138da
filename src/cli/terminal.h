// What a command prints: results on stdout, messages on stderr, colour and bars only on a terminal, and never a control character from outside.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace weir::cli {

// Exit codes of interfaces.md.
inline constexpr int done = 0, failed = 1, wrong_use = 2;

inline constexpr std::string_view no_sources = "no sources yet: weir add URL, or weir import --starter for a list of well-known feeds to begin with";

bool colour(int fd);                      // a terminal, and NO_COLOR is not set
std::string bold(std::string_view text);  // on stdout
std::string dim(std::string_view text);
// Text from outside as it may go to a terminal: control and bidirectional characters gone, at most `width` columns (0: no limit; Chinese counts two).
std::string plain(std::string_view text, std::size_t width = 0);
std::size_t columns_of(std::string_view text);
std::size_t terminal_width();

// For a command that prints one thing after another: from here on Ctrl-C and SIGTERM only ask it to end. What is under way is finished, no line is cut;
// main() then dies of the signal as if nothing had been. A second one ends it at once.
void end_gently();
bool interrupted();
void die_of_it();  // when interrupted

// A file that is being written by another name: Ctrl-C and SIGTERM remove it before they end the program. One at a time.
class Unfinished {
 public:
  explicit Unfinished(std::string file);
  ~Unfinished();
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
};

void print_line(std::string_view text);     // stdout, whole, at once
void print_json(const json::value& value);  // one line, flushed
// Rows under their headings, columns as wide as what is in them; the last one gets what is left of the terminal.
void print_table(const std::vector<std::string>& headings, const std::vector<std::vector<std::string>>& rows);

// The error on stderr: as text, or with --json as {"error":{…}}. Answers `failed`.
int print_error(const Error& error, bool as_json);

// "label [####      ] 12 of 40" on stderr, on a terminal only; gone when it is finished or destroyed.
class Bar {
 public:
  explicit Bar(std::string label) : label_(std::move(label)) {}
  ~Bar();
  void show(std::size_t done, std::size_t of);

 private:
  std::string label_;
  bool drawn_ = false;
};

}  // namespace weir::cli
