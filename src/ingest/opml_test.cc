#include "ingest/opml.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Opml, ReadsFolders) {
  const auto opml = read_opml(R"(<?xml version="1.0"?><opml version="1.0"><head><title> My &amp; list </title></head><body>
    <outline text="Top" xmlUrl="https://a.org/f" htmlUrl="https://a.org/"/>
    <outline text="News"><outline title="B" text="ignored" type="rss" xmlUrl="http://b.org/f"/><outline text="Deep"><outline text="C" xmlUrl="https://c.org/f"/></outline></outline>
    <outline text="D" xmlUrl="https://d.org/f" category="/one/two,/three"/><outline text="bad" xmlUrl="javascript:1"/></body></opml>)");
  ASSERT_TRUE(opml);
  EXPECT_EQ(opml->title, "My & list");
  EXPECT_EQ(opml->sources, (std::vector<OpmlSource>{{"Top", "https://a.org/f", "https://a.org/", {}},
                                                    {"B", "http://b.org/f", "", {"News"}},
                                                    {"C", "https://c.org/f", "", {"News", "Deep"}},
                                                    {"D", "https://d.org/f", "", {"one", "two"}}}));
  EXPECT_EQ(opml->warnings.size(), 1u);
}

TEST(Opml, WhatIsWrittenIsReadAgain) {
  const Opml written{"T \"&<>",
                     {{"a & b", "https://a.org/?x=1&y=2", "https://a.org/", {}},
                      {"c\"<>'\n", "https://c.org/", "", {"F & G"}},
                      {"d", "https://d.org/", "", {"F & G", "H"}},
                      {"e", "https://e.org/", "", {}},
                      {"f", "https://f.org/", "", {"Z"}}},
                     {}};
  const auto again = read_opml(write_opml(written));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->title, written.title);
  EXPECT_TRUE(again->warnings.empty());
  ASSERT_EQ(again->sources.size(), written.sources.size());
  for (OpmlSource source : written.sources) {
    if (source.title.back() == '\n') source.title.pop_back();  // titles are one line
    EXPECT_NE(std::find(again->sources.begin(), again->sources.end(), source), again->sources.end()) << source.title;
  }
}

TEST(Opml, Limits) {
  const auto code = [](const std::string& text) {
    const auto opml = read_opml(text);
    return opml ? Code::internal : opml.error().code;
  };
  std::string deep = "<opml><body>", many = deep;
  for (int i = 0; i < 17; ++i) deep += "<outline text='x'>";
  for (int i = 0; i < 50'001; ++i) many += "<outline xmlUrl='https://a.org/'/>";
  EXPECT_EQ(code(deep), Code::too_deep);
  EXPECT_EQ(code(many), Code::too_large);
  EXPECT_EQ(code("<rss/>"), Code::not_a_feed);
  EXPECT_EQ(code(""), Code::not_a_feed);
}

}  // namespace
}  // namespace weir
