// Collects plain text: runs of white space become one space, lines do not begin or end with one, no line is empty. Private to src/html.
#pragma once

#include <string>
#include <string_view>

namespace weir::html {

class Plain {
 public:
  explicit Plain(std::string& out) : out_(out) {}

  void line() { wants_ = '\n'; }
  void space() {
    if (wants_ == 0) wants_ = ' ';
  }

  void add(std::string_view text, bool keep_lines = false) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t gap = white(text, at);
      if (gap > 0) {
        if (keep_lines && text[at] == '\n') line();
        else space();
        at += gap;
        continue;
      }
      std::size_t end = at + 1;
      while (end < text.size() && white(text, end) == 0) ++end;
      if (wants_ != 0 && !out_.empty()) out_ += wants_;
      wants_ = 0;
      out_.append(text, at, end - at);
      at = end;
    }
  }

 private:
  // Bytes of white space at `at`: ASCII, or the no-break space.
  static std::size_t white(std::string_view text, std::size_t at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte <= ' ') return 1;
    return byte == 0xC2 && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) == 0xA0 ? 2 : 0;
  }

  std::string& out_;
  char wants_ = 0;
};

}  // namespace weir::html
