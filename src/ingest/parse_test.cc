#include "ingest/parse.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/text.h"

namespace weir {
namespace {

// Real, small, and not the html module, which ingest must not know: tags out, three references decoded.
std::string plain(std::string_view html) {
  std::string out;
  bool tag = false;
  for (std::size_t i = 0; i < html.size(); ++i) {
    if (html[i] == '<') tag = true;
    if (!tag) out += html[i];
    if (html[i] == '>') tag = false;
  }
  for (const auto& [from, to] : {std::pair<std::string_view, std::string_view>{"&lt;", "<"}, {"&gt;", ">"}, {"&amp;", "&"}})
    for (std::size_t at; (at = out.find(from)) != std::string::npos && from != to;) {
      out.replace(at, from.size(), to);
      if (to == "&") break;
    }
  return collapse_spaces(out);
}

#ifdef __SANITIZE_ADDRESS__
constexpr double slower = 6;  // the promises are about the program as it ships
#else
constexpr double slower = 1;
#endif

Feed read(std::string_view bytes, ParseOptions options = {}) {
  options.html.text = plain;
  auto feed = parse_feed(bytes, options);
  EXPECT_TRUE(feed) << (feed ? "" : feed.error().text());
  return feed.value_or(Feed{});
}
Code error(std::string_view bytes, ParseOptions options = {}) {
  const auto feed = parse_feed(bytes, options);
  return feed ? Code::internal : feed.error().code;
}
std::string day(const std::optional<Time>& time) { return time ? to_rfc3339(*time) : "none"; }

TEST(Parse, Rss2) {
  const Feed feed = read(R"(<?xml version="1.0"?>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:atom="http://www.w3.org/2005/Atom" xmlns:m="http://search.yahoo.com/mrss/">
<channel><title>A &amp; B</title><link>https://e.org/</link><description>What it <b>is</b></description><language>en_US</language><ttl>90</ttl>
<atom:link rel="self" href="https://e.org/feed"/><image><url>/i.png</url><title>not this</title></image>
<skipHours><hour>0</hour><hour>23</hour></skipHours><skipDays><day>Sunday</day><day>saturday</day></skipDays><managingEditor>ed@e.org (Ed Itor)</managingEditor>
<item><title>&lt;b&gt;One&lt;/b&gt; &amp;amp; only</title><link>/1</link><guid isPermaLink="false">tag:1</guid><pubDate>Thu, 01 Jan 2004 19:48:21 GMT</pubDate>
<description>short</description><content:encoded><![CDATA[<p>long</p>]]></content:encoded><dc:creator>Ann</dc:creator><dc:creator>Bob</dc:creator><category>x</category><category>y</category><category>x</category>
<enclosure url="https://e.org/a.mp3" type="audio/mpeg" length="123"/><m:thumbnail url="https://e.org/t.jpg"/></item>
<item><guid>https://e.org/2</guid><description>only</description><pubDate>Thu, 31 Feb 2004 19:48:21 GMT</pubDate></item>
<item><title>three</title></item>
</channel></rss>)");
  EXPECT_EQ(feed.format, "rss2.0");
  EXPECT_EQ(feed.encoding, "utf-8");
  EXPECT_EQ(feed.title, "A & B");
  EXPECT_EQ(feed.home_page_url, "https://e.org/");
  EXPECT_EQ(feed.feed_url, "https://e.org/feed");
  EXPECT_EQ(feed.description, "What it is");
  EXPECT_EQ(feed.language, "en-US");
  EXPECT_EQ(feed.icon, "https://e.org/i.png");
  EXPECT_EQ(feed.authors, (std::vector<Author>{{"Ed Itor", ""}}));
  EXPECT_EQ(feed.ttl, std::chrono::minutes(90));
  EXPECT_EQ(feed.skip_hours, 1u | 1u << 23);
  EXPECT_EQ(feed.skip_days, 1 | 1 << 6);
  ASSERT_EQ(feed.items.size(), 3u);
  const Item& one = feed.items[0];
  EXPECT_EQ(one.id, "tag:1");
  EXPECT_EQ(one.url, "https://e.org/1");
  EXPECT_EQ(one.title, "One & only");
  EXPECT_EQ(one.content_html, "<p>long</p>");
  EXPECT_EQ(one.summary, "short");
  EXPECT_EQ(day(one.date_published), "2004-01-01T19:48:21Z");
  EXPECT_EQ(one.authors, (std::vector<Author>{{"Ann", ""}, {"Bob", ""}}));
  EXPECT_EQ(one.tags, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(one.attachments, (std::vector<Attachment>{{"https://e.org/a.mp3", "audio/mpeg", 123}}));
  EXPECT_EQ(one.image, "https://e.org/t.jpg");
  EXPECT_EQ(feed.items[1].url, "https://e.org/2") << "a permalink guid is the address";
  EXPECT_EQ(feed.items[1].content_html, "only");
  EXPECT_EQ(day(feed.items[1].date_published), "none") << "an impossible date is left out";
  EXPECT_TRUE(feed.items[2].id.starts_with("sha256:"));
  EXPECT_EQ(feed.items[2].url, "");
}

TEST(Parse, Versions) {
  const auto format = [](std::string_view text) { return read(text).format; };
  EXPECT_EQ(format("<rss/>"), "rss2.0");
  EXPECT_EQ(format("<rss version='0.91'><channel/></rss>"), "rss0.91");
  EXPECT_EQ(format("<rss version='0.92'/>"), "rss0.92");
  EXPECT_EQ(format("<rss version='2.0.1'/>"), "rss2.0");
  EXPECT_EQ(format("<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns='http://my.netscape.com/rdf/simple/0.9/'/>"), "rss0.90");
  EXPECT_EQ(format("<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns='http://purl.org/rss/1.0/'/>"), "rss1.0");
  EXPECT_EQ(format("<feed xmlns='http://www.w3.org/2005/Atom'/>"), "atom1.0");
  EXPECT_EQ(format("<feed version='0.3' xmlns='http://purl.org/atom/ns#'/>"), "atom0.3");
  EXPECT_EQ(format(R"({"version":"https://jsonfeed.org/version/1","items":[]})"), "json1.0");
  EXPECT_EQ(format(R"({"version":"https://jsonfeed.org/version/1.1","items":[]})"), "json1.1");
  EXPECT_EQ(format("<opml version='2.0'><body/></opml>"), "opml");
}

TEST(Parse, Rss1) {
  const Feed feed =
      read(R"(<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<channel rdf:about="https://e.org/rdf"><title>T</title><link>https://e.org/</link></channel>
<item rdf:about="urn:1"><title>one</title><link>https://e.org/1</link><dc:date>2004-01-01T10:00+01:00</dc:date><dc:subject>s</dc:subject></item></rdf:RDF>)");
  ASSERT_EQ(feed.items.size(), 1u);
  EXPECT_EQ(feed.title, "T");
  EXPECT_EQ(feed.items[0].id, "urn:1");
  EXPECT_EQ(day(feed.items[0].date_published), "2004-01-01T09:00:00Z");
  EXPECT_EQ(feed.items[0].tags, std::vector<std::string>{"s"});
}

TEST(Parse, Atom) {
  const Feed feed =
      read(R"(<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de" xml:base="https://e.org/blog/" xmlns:thr="http://purl.org/syndication/thread/1.0">
<title type="html">&lt;i&gt;T&lt;/i&gt;</title><subtitle>S</subtitle><link rel="self" href="feed.xml"/><link href="./"/><icon>/i.ico</icon><author><name>A</name><uri>/a</uri></author>
<entry xml:lang="en" xml:base="sub/"><id>urn:x</id><title type="text">1 &lt; 2</title><link rel="alternate" href="1"/><link rel="enclosure" href="a.mp3" type="audio/mpeg" length="9"/>
<published>2004-01-01T00:00:00Z</published><updated>2004-01-02T00:00:00Z</updated><category term="t" label="l"/><summary type="html">&lt;p&gt;sum&lt;/p&gt;</summary>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p xml:base="deep/"><a href="x">y</a> &amp; z</p></div></content><thr:in-reply-to ref="urn:y" href="https://e.org/y"/></entry>
<entry><id>urn:2</id><summary>plain &lt;b></summary></entry>
<entry><id>urn:3</id><content type="text">&lt;b> is a tag</content></entry>
</feed>)");
  EXPECT_EQ(feed.title, "T");
  EXPECT_EQ(feed.language, "de");
  EXPECT_EQ(feed.home_page_url, "https://e.org/blog/");
  EXPECT_EQ(feed.feed_url, "https://e.org/blog/feed.xml");
  EXPECT_EQ(feed.icon, "https://e.org/i.ico");
  EXPECT_EQ(feed.authors, (std::vector<Author>{{"A", "https://e.org/a"}}));
  ASSERT_EQ(feed.items.size(), 3u);
  const Item& one = feed.items[0];
  EXPECT_EQ(one.title, "1 < 2");
  EXPECT_EQ(one.url, "https://e.org/blog/sub/1");
  EXPECT_EQ(one.language, "en");
  EXPECT_EQ(one.content_html, "<p><a href=\"https://e.org/blog/sub/deep/x\">y</a> &amp; z</p>");
  EXPECT_EQ(one.summary, "sum");
  EXPECT_EQ(one.tags, std::vector<std::string>{"t"});
  EXPECT_EQ(day(one.date_modified), "2004-01-02T00:00:00Z");
  EXPECT_EQ(one.attachments, (std::vector<Attachment>{{"https://e.org/blog/sub/a.mp3", "audio/mpeg", 9}}));
  EXPECT_EQ(json::serialize(one.extra.at("_weir")), R"({"in_reply_to":{"id":"urn:y","url":"https://e.org/y"}})");
  EXPECT_EQ(feed.items[1].summary, "plain <b>");
  EXPECT_EQ(feed.items[1].content_html, "");
  EXPECT_EQ(feed.items[2].content_text, "<b> is a tag");
}

TEST(Parse, JsonFeed) {
  const Feed feed = read(R"({"version":"https://jsonfeed.org/version/1.1","title":"T","home_page_url":"https://e.org/","items":[
    {"id":7,"url":"https://e.org/1","content_text":"x","tags":["a",5],"date_published":"2004-01-01T10:00:00+01:00","extra":{"k":1},"_weir":{"id":3},"attachments":[{"url":"https://e.org/a","mime_type":"a/b","size_in_bytes":5,"title":"ogg","duration_in_seconds":7}],
     "authors":[{"name":"Ann","avatar":"https://e.org/a.png"}]},
    "no item", {"id":"2","title":5,"author":{"name":"old"}}]})");
  ASSERT_EQ(feed.items.size(), 2u);
  EXPECT_EQ(feed.items[0].id, "7");
  EXPECT_EQ(feed.items[0].tags, std::vector<std::string>{"a"});
  EXPECT_EQ(day(feed.items[0].date_published), "2004-01-01T09:00:00Z");
  EXPECT_TRUE(feed.items[0].extra.contains("extra"));
  EXPECT_EQ(json::serialize(feed.items[0].attachments[0].extra), R"({"title":"ogg","duration_in_seconds":7})");
  EXPECT_EQ(json::serialize(feed.items[0].authors[0].extra), R"({"avatar":"https://e.org/a.png"})");
  EXPECT_FALSE(feed.items[0].extra.contains("_weir")) << "what is ours is not taken from outside";
  EXPECT_EQ(feed.items[1].authors, (std::vector<Author>{{"old", ""}}));
  EXPECT_EQ(error("{\"version\":\"https://jsonfeed.org/version/1.1\",\"items\":[{"), Code::malformed);
  EXPECT_EQ(error("{\"hello\":1}"), Code::not_a_feed);
  EXPECT_EQ(error("{\"items\":" + std::string(10'000, '[')), Code::too_deep);
}

TEST(Parse, HtmlAndOpmlListWhatTheyLinkTo) {
  ParseOptions options{.base_url = "https://e.org/"};
  options.html.links = [](std::string_view, std::string_view base) -> Result<PageLinks> {
    return PageLinks{"P", "en", "", {{std::string(base) + "a", "A"}, {"javascript:1", "no"}}};
  };
  const Feed page = read("<!-- c --><!doctype html><title>P</title>", options);
  EXPECT_EQ(page.format, "html");
  ASSERT_EQ(page.items.size(), 1u);
  EXPECT_EQ(page.items[0].url, "https://e.org/a");
  EXPECT_EQ(error("<html><body>x</body></html>"), Code::not_a_feed);

  const Feed opml = read("<opml><head><title>L</title></head><body><outline text='F'><outline text='x' xmlUrl='https://e.org/x'/></outline></body></opml>");
  ASSERT_EQ(opml.items.size(), 1u);
  EXPECT_EQ(opml.items[0].title, "x");
  EXPECT_EQ(opml.items[0].url, "https://e.org/x");
}

TEST(Parse, BrokenFeedsKeepTheirItems) {
  const Feed soup = read(
      "PHP Warning <br> in line "
      "3\n<rss><channel><title>T&nbsp;x</title><item><title>1</title><link>https://e.org/?a=1&b=2</link><description><p>a<br>b</description></item>"
      "<item><title>2<item><title>3</title></item><item><title>4</title><description>trunc");
  ASSERT_EQ(soup.items.size(), 4u);
  EXPECT_EQ(soup.title, "T x");
  EXPECT_EQ(soup.items[0].url, "https://e.org/?a=1&b=2");
  EXPECT_EQ(soup.items[0].content_html, "<p>a<br>b</p>");
  EXPECT_EQ(soup.items[3].content_html, "trunc");
  EXPECT_FALSE(soup.warnings.empty());
}

TEST(Parse, AddressesAreHttpOrAbsent) {
  const Feed feed = read(
      "<rss><channel><link>javascript:alert(1)</link><item><link>mailto:a@b</link><guid>ftp://x/</guid></item><item><link> HTTP://e.org/x "
      "</link></item><item><link>/rel</link></item></channel></rss>");
  EXPECT_EQ(feed.home_page_url, "");
  ASSERT_EQ(feed.items.size(), 3u);
  EXPECT_EQ(feed.items[0].url, "");
  EXPECT_EQ(feed.items[0].id, "ftp://x/");
  EXPECT_EQ(feed.items[1].url, "HTTP://e.org/x");
  EXPECT_EQ(feed.items[2].url, "") << "nothing to read it against";
}

TEST(Parse, NotAFeed) {
  EXPECT_EQ(error(""), Code::not_a_feed);
  EXPECT_EQ(error("hello"), Code::not_a_feed);
  EXPECT_EQ(error("<urlset><url/></urlset>"), Code::not_a_feed);
  EXPECT_EQ(error(std::string("\x89PNG\0\0", 6)), Code::encoding);
  EXPECT_EQ(error("<rss/>", {.limits = {.bytes = 3}}), Code::too_large);
}

TEST(Parse, NewestOfTooMany) {
  std::string text = "<rss><channel>";
  for (int i = 0; i < 6000; ++i)
    text += "<item><guid>" + std::to_string(i) + "</guid><pubDate>" + (i % 2 ? "2020" : "2010") + "-01-01T00:00:00Z</pubDate></item>";
  const Feed feed = read(text + "</channel></rss>");
  ASSERT_EQ(feed.items.size(), 1000u);
  EXPECT_EQ(feed.items[0].id, "1");
  EXPECT_EQ(feed.items[999].id, "1999");
  EXPECT_GE(feed.warnings.size(), 2u);
}

TEST(Parse, LongFieldsAreCutBetweenCodePoints) {
  std::string text = "<rss><channel><item><description>";
  while (text.size() < (2u << 20)) text += "中";
  const Feed feed = read(text + "</description></item></channel></rss>");
  ASSERT_EQ(feed.items.size(), 1u);
  EXPECT_LE(feed.items[0].content_html.size(), 1u << 20);
  EXPECT_TRUE(is_valid_utf8(feed.items[0].content_html));
}

// What stands before the damage is kept: ten items, and bytes changed behind the first k of them.
TEST(Parse, WhatStandsBeforeTheDamageIsKept) {
  std::string start = "<?xml version='1.0'?><rss version='2.0'><channel><title>T</title>", text = start;
  std::vector<std::size_t> ends;
  for (int i = 0; i < 10; ++i) {
    const std::string n = std::to_string(i);
    text += "<item><title>t" + n + "</title><link>https://e.org/" + n + "</link><guid>g" + n + "</guid><description><![CDATA[<p>x &amp; " + n +
            "</p>]]></description></item>";
    ends.push_back(text.size());
  }
  text += "</channel></rss>";
  const bool many = std::getenv("WEIR_LONG") != nullptr;
  std::minstd_rand random(7);
  for (int run = 0; run < (many ? 1'000'000 : 5'000); ++run) {
    std::string broken = text;
    const std::size_t first = ends[random() % 9];
    for (int change = 0; change < 1 + run % 8; ++change) {
      const std::size_t at = first + random() % (broken.size() - first);
      switch (random() % 3) {
        case 0: broken[at] = static_cast<char>(random()); break;
        case 1: broken.erase(at, 1 + random() % 40); break;
        default: broken.insert(at, 1, "<>&\"']/!"[random() % 8]);
      }
      if (broken.size() <= first + 1) break;
    }
    const std::clock_t clock = std::clock();
    const auto feed = parse_feed(broken, {.content_type = "text/xml; charset=utf-8", .html = {.text = plain}});
    ASSERT_LT(static_cast<double>(std::clock() - clock) / CLOCKS_PER_SEC, 0.25 * slower) << broken;
    ASSERT_TRUE(feed) << broken;
    const auto whole = static_cast<std::size_t>(std::ranges::find(ends, first) - ends.begin()) + 1;
    ASSERT_GE(feed->items.size(), whole) << broken;
    for (std::size_t i = 0; i < whole; ++i) {
      ASSERT_EQ(feed->items[i].id, "g" + std::to_string(i)) << broken;
      ASSERT_EQ(feed->items[i].title, "t" + std::to_string(i)) << broken;
    }
  }
}

// A million mutations of the fuzzers' corpus of feeds (WEIR_LONG=1; a few thousand otherwise): an answer each time, and soon.
TEST(Parse, MutatedFeeds) {
  std::vector<std::string> corpus;
  for (const auto& entry : std::filesystem::directory_iterator(WEIR_SOURCE_DIR "/fuzz/corpus/feed")) {
    std::ifstream in(entry.path(), std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  ASSERT_GE(corpus.size(), 5u);
  std::minstd_rand random(11);
  const int runs = std::getenv("WEIR_LONG") ? 1'000'000 : 10'000;
  double slowest = 0;
  for (int run = 0; run < runs; ++run) {
    std::string text = corpus[random() % corpus.size()];
    const std::string& other = corpus[random() % corpus.size()];
    for (int change = run % 10; change >= 0 && !text.empty(); --change) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0: text[at] = static_cast<char>(random()); break;
        case 1: text.erase(at, random() % 60); break;
        case 2: text.insert(at, other, random() % (other.size() + 1), random() % 60); break;
        default: text.insert(at, text.substr(random() % text.size(), random() % 200));
      }
    }
    const std::clock_t clock = std::clock();
    const auto feed = parse_feed(text, {.base_url = "https://e.org/", .html = {.text = plain}});
    slowest = std::max(slowest, static_cast<double>(std::clock() - clock) / CLOCKS_PER_SEC);
    if (feed)
      for (const Item& item : feed->items) ASSERT_TRUE(!item.id.empty() && is_valid_utf8(item.title) && is_valid_utf8(item.content_html)) << text;
    else ASSERT_FALSE(feed.error().message.empty()) << text;
  }
  EXPECT_LT(slowest, 0.25 * slower);
}

// The bombs of XML: each in its time, whatever comes out.
TEST(Parse, Bombs) {
  const auto times = [](std::string_view part, std::size_t n) {
    std::string out;
    out.reserve(part.size() * n);
    for (std::size_t i = 0; i < n; ++i) out += part;
    return out;
  };
  std::string namespaces = "<rss";
  for (int i = 0; i < 500; ++i) namespaces += " xmlns:n" + std::to_string(i) + "='u'";
  const std::pair<const char*, std::string> bombs[] = {
      {"depth", "<rss>" + times("<a>", 1'000'000)},
      {"attributes", "<rss" + times(" a='1'", 300'000) + "/>"},
      {"namespaces", namespaces + ">" + times("<n499:a/>", 400'000)},
      {"nested namespaces", "<rss>" + times(namespaces.replace(1, 3, "aaa") + ">", 250) + times("<zz:a/>", 400'000)},
      {"text", "<rss><channel><item><description>" + std::string(50'000'000, 'x')},
      {"open angles", "<rss>" + times("<", 10'000'000)},
      {"unclosed comments", "<rss>" + times("<!--", 2'500'000)},
      {"unclosed cdata", "<rss>" + times("<![CDATA[", 1'000'000)},
      {"unclosed doctypes", times("<!DOCTYPE a [", 700'000)},
      {"unclosed instructions", "<rss>" + times("<?a", 3'000'000)},
      {"quotes", "<rss>" + times("<a b=\"", 1'500'000)},
      {"ampersands", "<rss><channel><title>" + times("&", 10'000'000)},
      {"closing tags", "<rss>" + times("<a><b>", 120) + times("</c>", 2'500'000)},
      {"cdata pieces", "<rss><channel><title>" + times("<![CDATA[x]]>", 700'000)},
      {"items", "<rss><channel>" + times("<item>", 1'500'000)},
      {"entities", "<!DOCTYPE a [" + times("<!ENTITY a '&a;'>", 500'000) + "]><rss/>"},
      {"dates", "<rss><channel>" + times("<item><pubDate>1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1</pubDate></item>", 5'000)},
      {"json depth", times("[{\"a\":", 1'000'000)},
      {"json depth in items", "{\"items\":" + times("[", 5'000'000)},
      {"bases", "<feed xml:base='http://a/'>" + times("<entry xml:base='b/'>", 200'000)},
  };
  for (const auto& [name, bytes] : bombs) {
    const std::clock_t start = std::clock();
    (void)parse_feed(bytes, {.html = {.text = plain}});
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    EXPECT_LT(seconds, 2.5 * slower) << name;
    RecordProperty(name, std::to_string(seconds));
  }
}

}  // namespace
}  // namespace weir
