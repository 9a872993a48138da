#include "ingest/discover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingest/icon.h"

namespace weir {
namespace {

using namespace std::string_view_literals;

TEST(Discover, AlternatesComeFirstCommentsLast) {
  const std::vector<FeedLink> links = {
      {.url = "https://a.example/comments/feed/", .title = "Comments", .type = "application/rss+xml", .alternate = true},
      {.url = "https://a.example/about", .title = "About"},
      {.url = "https://a.example/blog/rss.xml", .title = "RSS"},
      {.url = "ftp://a.example/feed", .type = "application/rss+xml", .alternate = true},
      {.url = "javascript:alert(1)//feed", .alternate = true},
      {.url = "https://a.example/oembed.html", .type = "text/html", .alternate = true},
      {.url = "https://a.example/feed.json", .type = "application/feed+json; charset=utf-8", .alternate = true},
  };
  const auto found = feed_candidates("https://a.example/blog/2026", links, 4);
  EXPECT_THAT(found, testing::ElementsAre("https://a.example/feed.json", "https://a.example/blog/rss.xml", "https://a.example/comments/feed/",
                                          "https://a.example/blog/feed"));
}

TEST(Discover, APageWithoutLinksGivesTheUsualPlacesOnce) {
  const auto found = feed_candidates("https://a.example/", {}, 100);
  EXPECT_THAT(found,
              testing::ElementsAre("https://a.example/feed", "https://a.example/rss", "https://a.example/atom.xml", "https://a.example/feed.xml",
                                   "https://a.example/rss.xml", "https://a.example/index.xml", "https://a.example/feed.json", "https://a.example/feed/"));
  EXPECT_THAT(feed_candidates("mailto:a@b", {}), testing::IsEmpty());
  EXPECT_EQ(default_icon("https://a.example/x/y?z"), "https://a.example/favicon.ico");
}

TEST(Discover, WhatAPageDeclaresIsAChoice) {
  const std::vector<FeedLink> links = {
      {.url = "https://a.example/comments/feed/", .title = "Comments", .type = "application/rss+xml", .alternate = true},
      {.url = "https://a.example/blog/rss.xml", .title = "RSS"},  // a link in the text
      {.url = "https://a.example/feed", .title = "Posts", .type = "application/rss+xml", .alternate = true},
      {.url = "https://a.example/feed", .title = "Posts again", .type = "application/rss+xml", .alternate = true},
      {.url = "https://a.example/de/", .title = "Deutsch", .type = "text/html", .alternate = true},
      {.url = "file:///etc/passwd", .title = "no", .type = "application/rss+xml", .alternate = true},
  };
  std::vector<std::string> titles;
  for (const FeedLink& one : declared_feeds(links)) titles.push_back(one.title);
  EXPECT_THAT(titles, testing::ElementsAre("Posts", "Comments"));
  EXPECT_EQ(declared_feeds(links, 1).size(), 1U);
}

TEST(Icon, TypeComesFromTheBytes) {
  const auto padded = [](std::string_view start) { return std::string(start) + std::string(32, '\0'); };
  EXPECT_EQ(image_type(padded("\x89PNG\r\n\x1a\n\0\0\0\rIHDR"sv)), "image/png");
  EXPECT_EQ(image_type(padded("\xff\xd8\xff\xe0"sv)), "image/jpeg");
  EXPECT_EQ(image_type(padded("GIF89a"sv)), "image/gif");
  EXPECT_EQ(image_type(padded("RIFF\x24\0\0\0WEBPVP8 "sv)), "image/webp");
  EXPECT_EQ(image_type(padded("\0\0\1\0\1\0"sv)), "image/x-icon");
  EXPECT_EQ(image_type(padded("\0\0\0\x20"
                              "ftypavif"sv)),
            "image/avif");
}

TEST(Icon, EverythingElseIsRefused) {
  for (const std::string_view bytes :
       {""sv, "GIF89a"sv, "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"sv, "<?xml version='1.0'?><!-- --><SVG onload='x'/>"sv,
        "<!doctype html><html><body>not found at all</body></html>"sv, "BM\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sv,
        "RIFF\x24\0\0\0WAVEfmt \0\0\0\0\0\0\0\0"sv, "\x89PNG\r\n\x1a\n<svg onload=alert(1)>......"sv}) {
    const auto type = image_type(bytes);
    ASSERT_FALSE(type) << bytes;
    EXPECT_EQ(type.error().code, Code::refused);
  }
}

}  // namespace
}  // namespace weir
