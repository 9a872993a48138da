// JSON lines in: items one a line from files or stdin, each bad line reported with its place and passed over.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "types/item.h"

namespace weir::cli {

class LineReader {
 public:
  explicit LineReader(std::vector<std::string> files, bool json_errors = false);  // none: stdin
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  struct Line {
    std::string text, place;
  };  // place: "FILE:12" or "line 12"
  std::optional<Line> next();                                      // nothing at the end
  bool ready();                                                    // next() answers without waiting for more input
  bool trouble() const { return trouble_; }                        // a file could not be read, or report() was called
  void report(const std::string& place, const std::string& what);  // on stderr; the exit code is 1 at the end

 private:
  bool fill();
  void report(const Error& error);
  void report_unread(const std::string& file);  // errno says why
  std::vector<std::string> files_;
  std::size_t file_ = 0;
  int fd_ = -1;
  std::string buffer_;
  std::size_t at_ = 0, number_ = 0;
  bool json_errors_ = false, trouble_ = false;
};

// The next line that is an item; bad ones are reported.
struct ItemLine {
  Item item;
  std::string place;
};
std::optional<ItemLine> next_item(LineReader& lines);

}  // namespace weir::cli
