#include "ingest/charset.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace weir {
namespace {

Decoded read(std::string_view bytes, std::string_view header = {}) {
  auto decoded = to_utf8(bytes, header);
  EXPECT_TRUE(decoded) << (decoded ? "" : decoded.error().text());
  EXPECT_TRUE(!decoded || is_valid_utf8(decoded->text));
  return decoded.value_or(Decoded{});
}

std::string wide(std::string_view ascii, int width, bool big) {
  std::string out;
  for (const char c : ascii) {
    std::string unit(static_cast<std::size_t>(width), '\0');
    unit[big ? unit.size() - 1 : 0] = c;
    out += unit;
  }
  return out;
}

TEST(Charset, OrderOfWhatIsSaid) {
  const std::string declared = "<?xml version=\"1.0\" encoding=\"koi8-r\"?><a>\xC1</a>";
  EXPECT_EQ(read(declared).encoding, "koi8-r");
  EXPECT_NE(read(declared).text.find("а"), std::string::npos);
  const Decoded by_header = read(declared, "text/xml; charset=\"windows-1251\"");
  EXPECT_EQ(by_header.encoding, "windows-1251");
  EXPECT_NE(by_header.text.find("Б"), std::string::npos);
  EXPECT_EQ(read("\xEF\xBB\xBF" + std::string("<a>\xC3\xA4</a>"), "text/xml; charset=koi8-r").encoding, "utf-8") << "a mark is above the header";
  EXPECT_EQ(read("<a/>").encoding, "utf-8");
  EXPECT_EQ(read("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE4</a>").encoding, "windows-1252");
  EXPECT_EQ(read("<?xml version='1.0' encoding='GB2312'?><a>\xD6\xD0\xCE\xC4</a>").text, "<?xml version='1.0' encoding='GB2312'?><a>中文</a>");
  EXPECT_EQ(read("<?xml version='1.0' encoding='GB2312'?><a>\xD6\xD0\xCE\xC4</a>").encoding, "gbk");
}

TEST(Charset, WideWithAndWithoutMark) {
  for (const bool big : {false, true}) {
    const std::string order = big ? "be" : "le", mark16 = big ? "\xFE\xFF" : "\xFF\xFE", mark32 = wide("", 4, big);
    const std::string document = "<?xml version=\"1.0\"?><a>x</a>";
    EXPECT_EQ(read(wide(document, 2, big)).text, document);
    EXPECT_EQ(read(wide(document, 2, big)).encoding, "utf-16" + order);
    EXPECT_EQ(read(mark16 + wide(document, 2, big)).text, document);
    EXPECT_EQ(read(wide(document, 4, big)).text, document);
    EXPECT_EQ(read(wide(document, 4, big)).encoding, "utf-32" + order);
  }
  // A label of two bytes a character on bytes of one is a mistake.
  const Decoded mistaken = read("<?xml version=\"1.0\" encoding=\"utf-16\"?><a>x</a>");
  EXPECT_EQ(mistaken.encoding, "utf-8");
  EXPECT_EQ(mistaken.warnings.size(), 1u);
}

TEST(Charset, WhatContradictsTheBytesIsPassedOver) {
  EXPECT_EQ(read("<a>\xC3\xA4</a>", "text/xml; charset=us-ascii").text, "<a>ä</a>");
  const Decoded unknown = read("<?xml version='1.0' encoding='x-nobody-knows'?><a>\xC3\xA4</a>");
  EXPECT_EQ(unknown.encoding, "utf-8");
  EXPECT_EQ(unknown.warnings.size(), 1u);
  const Decoded not_utf8 = read("<?xml version='1.0' encoding='utf-8'?><a>caf\xE9 na\xEFve r\xE9sum\xE9</a>");
  EXPECT_EQ(not_utf8.encoding, "windows-1252");
  EXPECT_NE(not_utf8.text.find("café naïve résumé"), std::string::npos);
  const Decoded mostly = read("<a>中文中文中文\xFF中文</a>");
  EXPECT_EQ(mostly.encoding, "utf-8");
  EXPECT_NE(mostly.text.find("中文\xEF\xBF\xBD中文"), std::string::npos);
}

TEST(Charset, LooksLike) {
  // "The weather is fine today, we go into the mountains." and the like, in the bytes of each.
  EXPECT_EQ(read("<a>\xBD\xF1\xCC\xEC\xCC\xEC\xC6\xF8\xBA\xDC\xBA\xC3\xA3\xAC\xCE\xD2\xC3\xC7\xC8\xA5\xC5\xC0\xC9\xBD</a>").encoding, "gb18030");
  EXPECT_EQ(read("<a>\xBD\xF1\xCC\xEC\xCC\xEC\xC6\xF8\xBA\xDC\xBA\xC3</a>").text, "<a>今天天气很好</a>");
  EXPECT_EQ(read("<a>\xB5\xD1\xBF\xC0\xB4\xC3 \xB3\xAF\xBE\xBE\xB0\xA1 \xC1\xC1\xBD\xC0\xB4\xCF\xB4\xD9</a>").encoding, "euc-kr");
  EXPECT_EQ(read("<a>\xA4\xB3\xA4\xEC\xA4\xCF\xC6\xFC\xCB\xDC\xB8\xEC\xA4\xC7\xA4\xB9</a>").text, "<a>これは日本語です</a>");
  EXPECT_EQ(read("<a>\x82\xB1\x82\xEA\x82\xCD\x93\xFA\x96\x7B\x8C\xEA\x82\xC5\x82\xB7</a>").text, "<a>これは日本語です</a>");
  EXPECT_EQ(read("<a>\xCF\xF0\xE8\xE2\xE5\xF2, \xEA\xE0\xEA \xE4\xE5\xEB\xE0 \xF3 \xE2\xE0\xF1</a>").text, "<a>Привет, как дела у вас</a>");
  EXPECT_EQ(read("<a>\xF0\xD2\xC9\xD7\xC5\xD4, \xCB\xC1\xCB \xC4\xC5\xCC\xC1 \xD5 \xD7\xC1\xD3</a>").text, "<a>Привет, как дела у вас</a>");
}

TEST(Charset, ControlsAndLineEnds) {
  EXPECT_EQ(read("<a>1\r\n2\r3\x0B\x01 4\t</a>").text, "<a>1\n2\n3 4\t</a>");
  EXPECT_EQ(read(std::string("<a>\0b</a>", 9)).text, "<a>b</a>");
  EXPECT_EQ(read("<a>don\xC2\x92t</a>").text, "<a>don’t</a>") << "C1 from windows-1252 taken for latin1";
}

TEST(Charset, NoTextAtAll) {
  const auto decoded = to_utf8(std::string("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xFF\xFE\0\xFF", 20));
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, Code::encoding);
}

TEST(Charset, HeaderParameter) {
  EXPECT_EQ(charset_parameter("text/xml; charset=utf-8"), "utf-8");
  EXPECT_EQ(charset_parameter("text/xml;version=1; CharSet = 'x' ; q=1"), "x");
  EXPECT_EQ(charset_parameter("text/xml"), "");
  EXPECT_EQ(charset_name("latin1"), "windows-1252");
  EXPECT_EQ(charset_name("nonsense"), "");
}

}  // namespace
}  // namespace weir
