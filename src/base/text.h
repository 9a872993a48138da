// Small work on UTF-8 text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

bool is_valid_utf8(std::string_view text);
// Every byte sequence that is not UTF-8 becomes U+FFFD, as the WHATWG decoder does; NUL too.
std::string repair_utf8(std::string_view text);
void append_utf8(std::string& out, char32_t code_point);
// The code point at `at`, which moves past it. Text must be valid UTF-8.
char32_t next_code_point(std::string_view text, std::size_t& at);
// Han, kana, hangul and their extensions: scripts that are written without spaces between words.
bool is_cjk(char32_t code_point);

std::string_view trim(std::string_view text);  // ASCII white space at both ends
std::string to_lower_ascii(std::string_view text);
bool equal_ignoring_case(std::string_view a, std::string_view b);  // ASCII
std::vector<std::string_view> split(std::string_view text, char by);
std::string collapse_spaces(std::string_view text);  // runs of white space (ASCII, U+00A0, U+3000) become one space; trimmed

}  // namespace weir
