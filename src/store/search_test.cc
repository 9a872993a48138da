// What a phrase's glance proves, reading confirms.
#include "store/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "types/item.h"

namespace weir::store {
namespace {

SearchPlan plan_of(std::string_view text) {
  auto plan = plan_search(text);
  EXPECT_TRUE(plan) << text;
  return std::move(*plan);
}

TEST(Search, AGlanceFindsWhatIsWrittenPlainly) {
  const SearchPlan two = plan_of("\"prime minister\""), chinese = plan_of("人工智能"), both = plan_of("\"prime minister\" 人工智能");
  for (const std::string_view html : {"<p>The Prime Minister said</p>", "prime minister", "the prime minister’s car", "(prime minister)", "“PRIME MINISTER”",
                                      "<a href='prime minister'>x</a> prime minister.", "a &gt; b: prime minister &amp; all"})
    EXPECT_TRUE(surely_holds(two, "", html)) << html;
  for (const std::string_view html :
       {"", "prime ministers", "subprime minister", "<img alt=\"prime minister\">", "<b>prime minister</b>", "<b>sub</b>prime minister",
        "prime minister<i>s</i>", "prime\xcc\x81 minister", "prime minister\xcc\x81", "\xc2\xadprime minister", "prime <b> minister", "< prime minister"})
    EXPECT_FALSE(surely_holds(two, "", html)) << html;
  EXPECT_TRUE(surely_holds(chinese, "", "<p>谈人工智能的</p>"));
  EXPECT_FALSE(surely_holds(chinese, "", "<p>人工能智</p>"));
  EXPECT_FALSE(surely_holds(chinese, "", "<img alt=\"人工智能\">"));
  EXPECT_TRUE(surely_holds(both, "", "prime minister: 人工智能"));
  EXPECT_FALSE(surely_holds(both, "", "prime minister"));
  EXPECT_TRUE(surely_holds(both, "The Prime Minister", "<p>人工智能</p>"));
  EXPECT_FALSE(surely_holds(two, "prime", "minister"));
  // Every byte at every place of a word of eight: letters, and only they, have a lower case.
  for (int c = 1; c < 256; ++c)
    for (std::size_t at = 0; at < 17; ++at) {
      std::string text(17, ' ');
      text[at] = static_cast<char>(c);
      const bool word = ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9');
      const SearchPlan plan{.match = {}, .title_match = {}, .phrases = {{std::string(1, static_cast<char>(c | 32))}}, .terms = {}};
      EXPECT_EQ(surely_holds(plan, "", text), word) << c;
    }
}

// Texts made of pieces that matter, in any order: what the glance says is true must be true.
TEST(Search, AGlanceNeverClaimsTooMuch) {
  const std::string_view pieces[] = {
      "prime", "Prime", "minister", "MINISTER", " ",  "  ", "\n", "the",      "<b>",        "</b>", "<p>", "<img alt=\"prime minister\">",
      "<",     ">",     "&amp;",    "&nbsp;",   "&",  ";",  "é",  "\xc2\xad", "\xcc\x81",   "’",    "—",   "\xe2\x80\x8b",
      "人工",  "智能",  "人工智能", "工智",     "能", "1",  ".",  "\xff",     "ｐｒｉｍｅ", "-",    "'",   "あ"};
  const SearchPlan plans[] = {plan_of("\"prime minister\""), plan_of("\"the prime minister\""),   plan_of("人工智能"), plan_of("\"智能 prime\""),
                              plan_of("\"能 1\""),           plan_of("\"prime minister\" 工智能")};
  std::mt19937 random(3);
  int proved = 0, held = 0, excluded = 0;
  for (int round = 0; round < 60'000; ++round) {
    std::string html;
    for (unsigned n = random() % 12; n > 0; --n) html += pieces[random() % std::size(pieces)];
    for (const SearchPlan& plan : plans) {
      const bool sure = surely_holds(plan, "", html);
      proved += sure ? 1 : 0;
      const bool as_html = holds_phrases(plan, "", text_of_clean_html(html)), as_text = holds_phrases(plan, "", html);
      held += as_html ? 1 : 0;
      ASSERT_TRUE(!sure || as_html) << html;
      ASSERT_TRUE(!sure || as_text) << html;  // content_text is looked at in the same way
      Pairs pairs;
      ASSERT_EQ(as_html, holds_phrases(plan, "", text_of_clean_html(html), &pairs)) << html;
      ASSERT_EQ(as_html, judge(plan, "", text_of_clean_html(html)).phrases) << html;
      const bool may = std::ranges::all_of(pairs_of(plan), [&](std::uint16_t pair) { return pairs.may_have(pair); });
      ASSERT_TRUE(may || !as_html) << html;
      excluded += may ? 0 : 1;
    }
  }
  EXPECT_GT(proved, held / 4);  // both are of use
  EXPECT_GT(excluded, 300'000);
}

}  // namespace
}  // namespace weir::store
