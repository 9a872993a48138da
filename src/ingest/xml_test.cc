#include "ingest/xml.h"

#include <gtest/gtest.h>

namespace weir::xml {
namespace {

// The tree as one line: name(attributes)[children], texts in quotes.
std::string shown(Element element) {
  std::string out, scratch;
  for (Element child = element.first(); child; child = child.next()) {
    out += out.empty() ? "" : " ";
    out += std::string(child.name());
    out += child.has_elements() ? "[" + shown(child) + "]" : "'" + std::string(child.text(scratch)) + "'";
  }
  return out;
}

std::string read(std::string text, std::size_t warnings = 0) {
  const auto document = Document::parse(text);
  EXPECT_TRUE(document);
  if (!document) return "";
  EXPECT_EQ(document->warnings().size(), warnings) << text << (document->warnings().empty() ? "" : document->warnings()[0]);
  return shown(document->root());
}

TEST(Xml, WellFormed) {
  EXPECT_EQ(read("<?xml version=\"1.0\"?><!-- c > --><a x='1' y=\"2\"><b>t</b><c/><d>1<![CDATA[<&>]]>2</d></a>"), "a[b't' c'' d'1<&>2']");
  EXPECT_EQ(read("<a>&lt;&amp;&gt;&quot;&apos;&#65;&#x42;&#x1F600;</a>"), "a'<&>\"'AB😀'");
  EXPECT_EQ(read("<!DOCTYPE rss [<!ENTITY n \"Weir &#38; me\"><!ENTITY m 'the &n;!'>]><a>&m;</a>"), "a'the Weir & me!'");
  EXPECT_EQ(read("<a>&nbsp;&eacute;&hearts;&rsquo;</a>"), "a'\u00a0é♥’'");
}

TEST(Xml, Mended) {
  EXPECT_EQ(read("<a>AT&T &unknown; & x?a=1&b=2</a>", 1), "a'AT&T &unknown; & x?a=1&b=2'");
  EXPECT_EQ(read("<a>1 < 2 <3</a>", 1), "a'1 < 2 <3'");
  EXPECT_EQ(read("<a><b>x</a>", 1), "a[b'x']");
  EXPECT_EQ(read("<a>x</b></a>", 1), "a'x'");
  EXPECT_EQ(read("<a><p>one<p>two<br>three</a>", 1), "a[p'one' p[br'']]");
  EXPECT_EQ(read("<a b=c d e='f></a>", 1), "a''");
  EXPECT_EQ(read("<rss><item><t>1</t><item><t>2</t></item></rss>", 1), "rss[item[t'1'] item[t'2']]");
  EXPECT_EQ(read("<a><b>tru", 1), "a[b'tru']");
  EXPECT_EQ(read("<a><b><![CDATA[never ends</b><c/></a>", 1), "a[b'never ends' c'']");
  EXPECT_EQ(read("<A>x</a>"), "A'x'");
  EXPECT_EQ(read("<a>&#128;&#0;&#xD800;&#x110000;&#1;</a>"), "a'€\uFFFD\uFFFD\uFFFD'");
}

TEST(Xml, Namespaces) {
  std::string text =
      "<rss xmlns:c='http://purl.org/dc/elements/1.1/' xmlns:x='urn:x'><c:creator/><dc:creator/><x:creator/><creator/>"
      "<link xmlns='http://www.w3.org/2005/Atom'/><n xmlns:c='urn:other'><c:creator/></n><c:creator/></rss>";
  const auto document = Document::parse(text);
  ASSERT_TRUE(document);
  std::vector<Key> keys;
  const Element rss = document->root().first();
  for (Element e = rss.first(); e; e = e.next()) keys.push_back(e.key());
  EXPECT_EQ(keys, (std::vector<Key>{key(Ns::dc, "creator"), key(Ns::dc, "creator"), key(Ns::other, "creator"), core("creator"), key(Ns::atom, "link"),
                                    core("n"), key(Ns::dc, "creator")}));
  EXPECT_EQ(rss.child(core("n")).first().key(), key(Ns::other, "creator")) << "an inner declaration covers the outer one";

  std::string atom = "<a:feed xmlns:a='http://www.w3.org/2005/Atom'><a:entry/><entry/></a:feed>";
  const auto feed = Document::parse(atom);
  ASSERT_TRUE(feed);
  EXPECT_EQ(feed->root().first().key(), core("feed"));
  EXPECT_EQ(feed->root().first().first().key(), core("entry"));
  EXPECT_EQ(feed->dialect(), Dialect::atom10);
}

TEST(Xml, InnerHtml) {
  std::string text = "<a><h:div xmlns:h='http://www.w3.org/1999/xhtml'>1 &lt; <h:b title='x\"'>two</h:b><h:br/></h:div></a>";
  const auto document = Document::parse(text);
  ASSERT_TRUE(document);
  EXPECT_EQ(document->root().first().inner_html(), "<div>1 &lt; <b title=\"x&quot;\">two</b><br></div>");
}

TEST(Xml, Limits) {
  std::string deep;
  for (int i = 0; i < 1'000'000; ++i) deep += "<a>";
  auto document = Document::parse(deep);
  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().code, Code::too_deep);

  std::string many = "<r>";
  for (int i = 0; i < 600'000; ++i) many += "<a/>";
  document = Document::parse(many);
  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().code, Code::too_large);

  std::string attributes = "<r";
  for (int i = 0; i < 300'000; ++i) attributes += " a" + std::to_string(i) + "='1'";
  attributes += "><b/></r>";
  document = Document::parse(attributes);
  ASSERT_TRUE(document);
  EXPECT_TRUE(document->mended());
  EXPECT_EQ(document->root().first().attribute("a511"), "1");
  EXPECT_EQ(document->root().first().attribute("a512"), "");
}

TEST(Xml, EntitiesDoNotGrow) {
  std::string laughs = "<!DOCTYPE l [<!ENTITY l0 'lol'>";
  for (int i = 1; i < 10; ++i) {
    laughs += "<!ENTITY l" + std::to_string(i) + " '";
    for (int k = 0; k < 10; ++k) laughs += "&l" + std::to_string(i - 1) + ";";
    laughs += "'>";
  }
  laughs += "]><a>&l9;&l2;</a>";
  std::string scratch;
  auto document = Document::parse(laughs);
  ASSERT_TRUE(document);
  EXPECT_LT(document->root().first().text(scratch).size(), 5000u);
  EXPECT_TRUE(document->root().first().text(scratch).ends_with("lollollol"));

  std::string quadratic = "<!DOCTYPE l [<!ENTITY b '" + std::string(4000, 'x') + "'>]><a>";
  for (int i = 0; i < 20'000; ++i) quadratic += "&b;";
  quadratic += "</a>";
  document = Document::parse(quadratic);
  ASSERT_TRUE(document);
  EXPECT_LE(document->root().first().text(scratch).size(), (1u << 20) + 4096 + 60'000);

  std::string external = "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'><!ENTITY % p SYSTEM 'http://h/'> %p;]><a>&x;</a>";
  document = Document::parse(external);
  ASSERT_TRUE(document);
  EXPECT_EQ(document->root().first().text(scratch), "&x;");
}

}  // namespace
}  // namespace weir::xml
