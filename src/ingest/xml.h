// A forgiving XML reader: any bytes of UTF-8 become a tree, in one pass, in place, with namespaces resolved. What a strict parser stops at is mended the
// way browsers mend HTML: a bare & or < is text, HTML's named entities are known, an end tag closes the nearest open element of its name, a new <item>
// or <entry> inside an open one closes that, and the end of the bytes closes the rest.
//
// Why not pugixml or libxml2: the first has no namespaces and stops at the first mismatch, so that a pre-pass and a second parser are needed beside it;
// the second is quadratic in attributes and drops what it cannot read. One pass that never stops is shorter than the three (docs/decisions).
//
// Hostile input: time and memory are linear in the bytes; nothing recurses; no external entity is ever looked at; an internal one is plain text, with
// bounded expansion. Any thread; a Document belongs to its caller and borrows the text, which it changes and which must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::xml {

// The vocabularies that formats ask for. `core` is the feed's own: no namespace, RSS's several, Atom's several; Document::dialect says which was declared.
enum class Ns : std::uint8_t { core, atom, rdf, content, dc, dcterms, media, itunes, thr, sy, feedburner, xhtml, svg, mathml, xml, other };

// A namespace and a local name, ignoring ASCII case, as one number for `switch`.
using Key = std::uint64_t;
constexpr Key key(Ns ns, std::string_view local) {
  std::uint64_t hash = 0xcbf29ce484222325ull + static_cast<std::uint64_t>(ns);
  for (const char c : local) hash = (hash ^ static_cast<unsigned char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c)) * 0x100000001b3ull;
  return hash | 1;  // never 0, which is text
}
constexpr Key core(std::string_view local) { return key(Ns::core, local); }

struct Attribute {
  Key key;                       // an attribute without prefix is Ns::core
  std::string_view name, value;  // the name as written, with its prefix
};

struct Node {
  Key key = 0;                                    // 0: a text node
  std::string_view text;                          // of a text node; an element's name as written
  std::uint32_t parent = 0, next = 0, child = 0;  // indexes; 0 is none (the root has no siblings)
  std::uint32_t attribute = 0;
  std::uint16_t attributes = 0;
  Ns ns = Ns::core;
  bool cdata = false;  // a text node from a CDATA section
};

// Which of several namespaces of one family the document declared.
enum class Dialect : std::uint8_t { none, rss090, rss10, atom03, atom10 };

struct Limits {
  std::size_t depth = 256, elements = 500'000, attributes = 512;
};

class Document;

// A node and its document: two words, copied freely, valid as long as the document. An empty one answers every question with nothing.
class Element {
 public:
  Element() = default;
  explicit operator bool() const { return document_ != nullptr; }
  Key key() const { return node_ ? node_->key : 0; }
  Ns ns() const { return node_ ? node_->ns : Ns::other; }
  std::string_view name() const { return node_ ? node_->text : std::string_view(); }  // as written
  bool operator==(const Element& other) const { return node_ == other.node_; }
  std::string_view local_name() const;
  Element parent() const;
  Element first() const;  // the first child that is an element
  Element next() const;   // the next sibling that is an element
  Element child(Key key) const;
  bool has_elements() const { return static_cast<bool>(first()); }
  std::string_view attribute(Key key) const;  // empty when absent
  std::string_view attribute(std::string_view name) const { return attribute(core(name)); }
  bool has_attribute(Key key) const;
  bool has_attribute(std::string_view name) const { return has_attribute(core(name)); }

  // Text below this element without the markup. A view of the document where it is one piece, else of `scratch`.
  std::string_view text(std::string& scratch) const;
  // The content as HTML: text escaped; xml:base, xmlns and the prefixes of XHTML, SVG and MathML, which HTML has not, left out. `address`, when given, rewrites the values of href and src.
  std::string inner_html(const std::function<std::string(Element, std::string_view)>& address = {}) const;

 private:
  friend class Document;
  Element(const Document* document, const Node* node) : document_(document), node_(node) {}
  const Node* at(std::uint32_t index) const;
  Element element_from(std::uint32_t index) const;
  const Document* document_ = nullptr;
  const Node* node_ = nullptr;
};

class Document {
 public:
  // Text is UTF-8 without NUL (ingest/charset.h), at most 4 GB. Errors: too_deep, too_large (elements).
  static Result<Document> parse(std::string& text, const Limits& limits = {});

  Element root() const { return Element(this, nodes_.data()); }  // holds the top-level elements; has no name of its own
  Dialect dialect() const { return dialect_; }
  bool mended() const { return !warnings_.empty(); }
  const std::vector<std::string>& warnings() const { return warnings_; }  // at most one of a kind
  bool is_cut() const { return is_cut_; }                                 // it ends inside an element
  bool has_base() const { return has_base_; }                             // an xml:base occurs
  bool has_language() const { return has_language_; }                     // an xml:lang occurs

 private:
  friend class Element;
  friend class Reader;
  std::vector<Node> nodes_;
  std::vector<Attribute> attributes_;
  std::deque<std::string> expanded_;  // text that entities made longer than its source
  std::vector<std::string> warnings_;
  bool is_cut_ = false;
  Dialect dialect_ = Dialect::none;
  bool has_base_ = false, has_language_ = false;
};

// The character of an HTML 4 named entity; 0 when there is none of that name.
char32_t html_entity(std::string_view name);
// What 0x80 to 0x9F, control characters that nobody means, stand for in windows-1252; any other code is itself.
char32_t windows1252(char32_t code);

void append_escaped(std::string& out, std::string_view text);  // & < > "

}  // namespace weir::xml
