// Up to the first NUL a tokenizer.json, after it a text. Without a usable tokenizer the text goes through one of ours.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "encode/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(all.find('\0'), size);
  const std::string_view text = all.substr(std::min(cut + 1, size));
  static const auto ours = weir::WordPiece::parse_vocabulary("[UNK]\n[CLS]\n[SEP]\na\n##a\nthe\n.\n", true);
  static constexpr std::string_view pieces[] = {"<s>", "<pad>", "</s>", "<unk>", "\xE2\x96\x81", "a", "\xE2\x96\x81the", "\xC3\xA9"};
  static const auto unigram = weir::Unigram::build(pieces, {0, 0, 0, 0, -1, -2, -3, -4}, {{'\t', U" "}, {0xFF21, U"A"}}, {.prefix = "a "});
  const auto check = [&](const auto& tokenizer) {
    const auto ids = tokenizer.encode(text, 64);
    if (ids.size() > 64 || ids.size() < 2 || *std::ranges::max_element(ids) >= tokenizer.size()) std::abort();
  };
  if (const auto parsed = weir::WordPiece::parse_json(all.substr(0, cut))) check(*parsed);
  check(*ours);
  check(*unigram);
  return 0;
}
