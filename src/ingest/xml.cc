#include "ingest/xml.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <unordered_map>

#include "base/text.h"

namespace weir::xml {
namespace {

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool starts_name(char c) { return is_letter(c) || c == '_' || c == ':' || (c & 0x80); }

// What may stand in a name; everything else ends it.
constexpr auto name_bytes = [] {
  std::array<bool, 256> table{};
  for (unsigned c = 0x21; c < 256; ++c) table[c] = c != '>' && c != '/' && c != '=' && c != '<' && c != '"' && c != '\'';
  return table;
}();

std::string_view view(const char* begin, const char* end) { return {begin, static_cast<std::size_t>(end - begin)}; }

// A name for a message: of bearable length, and UTF-8 all the same.
std::string shortened(std::string_view name) { return name.size() <= 64 ? std::string(name) : repair_utf8(name.substr(0, 64)); }

// ---- namespaces

struct Vocabulary {
  std::string_view uri;  // lower case, without scheme and trailing "/" or "#"
  Ns ns;
  Dialect dialect = Dialect::none;
};
constexpr auto vocabularies = std::to_array<Vocabulary>({
    {"www.w3.org/2005/atom", Ns::atom, Dialect::atom10},
    {"purl.org/atom/ns", Ns::atom, Dialect::atom03},
    {"purl.org/atom", Ns::atom, Dialect::atom03},
    {"example.com/newformat", Ns::atom, Dialect::atom03},  // the names Atom had on its way to 0.3
    {"example.com/necho", Ns::atom, Dialect::atom03},
    {"example.com/ns", Ns::atom, Dialect::atom03},
    {"purl.org/echo", Ns::atom, Dialect::atom03},
    {"uri/of/echo/namespace", Ns::atom, Dialect::atom03},
    {"purl.org/pie", Ns::atom, Dialect::atom03},
    {"purl.org/rss/1.0", Ns::core, Dialect::rss10},
    {"my.netscape.com/rdf/simple/0.9", Ns::core, Dialect::rss090},
    {"channel.netscape.com/rdf/simple/0.9", Ns::core, Dialect::rss090},
    {"my.netscape.com/publish/formats/rss-0.91.dtd", Ns::core},
    {"backend.userland.com/rss", Ns::core},
    {"backend.userland.com/rss2", Ns::core},
    {"backend.userland.com/rss091", Ns::core},
    {"backend.userland.com/rss092", Ns::core},
    {"blogs.law.harvard.edu/tech/rss", Ns::core},
    {"cyber.law.harvard.edu/rss/rss.html", Ns::core},
    {"purl.org/rss/1.0/modules/rss091", Ns::core},
    {"purl.org/net/rss1.1", Ns::core, Dialect::rss10},
    {"www.w3.org/1999/02/22-rdf-syntax-ns", Ns::rdf},
    {"purl.org/rss/1.0/modules/content", Ns::content},
    {"purl.org/dc/elements/1.1", Ns::dc},
    {"purl.org/dc/elements/1.0", Ns::dc},
    {"purl.org/dc/terms", Ns::dcterms},
    {"search.yahoo.com/mrss", Ns::media},
    {"search.yahoo.com/mrss/", Ns::media},
    {"tools.search.yahoo.com/mrss", Ns::media},
    {"www.rssboard.org/media-rss", Ns::media},
    {"video.search.yahoo.com/mrss", Ns::media},
    {"www.itunes.com/dtds/podcast-1.0.dtd", Ns::itunes},
    {"example.com/dtds/podcast-1.0.dtd", Ns::itunes},
    {"www.google.com/schemas/play-podcasts/1.0", Ns::itunes},  // the same elements under another name
    {"purl.org/syndication/thread/1.0", Ns::thr},
    {"purl.org/rss/1.0/modules/syndication", Ns::sy},
    {"rssnamespace.org/feedburner/ext/1.0", Ns::feedburner},
    {"www.w3.org/1999/xhtml", Ns::xhtml},
    {"www.w3.org/tr/xhtml1", Ns::xhtml},
    {"www.w3.org/2000/svg", Ns::svg},
    {"www.w3.org/1998/math/mathml", Ns::mathml},
    {"www.w3.org/xml/1998/namespace", Ns::xml},
});

// For prefixes that a feed uses without declaring them.
constexpr auto usual_prefixes = std::to_array<std::pair<std::string_view, Ns>>({
    {"atom", Ns::atom},
    {"rdf", Ns::rdf},
    {"content", Ns::content},
    {"dc", Ns::dc},
    {"dcterms", Ns::dcterms},
    {"media", Ns::media},
    {"itunes", Ns::itunes},
    {"googleplay", Ns::itunes},
    {"thr", Ns::thr},
    {"sy", Ns::sy},
    {"feedburner", Ns::feedburner},
    {"xhtml", Ns::xhtml},
    {"rss", Ns::core},
});

const Vocabulary* find_vocabulary(std::string_view uri) {
  if (uri.size() > 128) return nullptr;
  std::string plain = to_lower_ascii(trim(uri));
  if (plain.starts_with("http://")) plain.erase(0, 7);
  else if (plain.starts_with("https://")) plain.erase(0, 8);
  while (!plain.empty() && (plain.back() == '/' || plain.back() == '#')) plain.pop_back();
  const auto* row = std::ranges::find(vocabularies, std::string_view(plain), &Vocabulary::uri);
  return row == vocabularies.end() ? nullptr : row;
}

// ---- mending

constexpr std::size_t max_bindings = 128, max_entities = 256, max_entity_bytes = 4096, max_expanded_bytes = 1u << 20;

// HTML's elements without an end tag, and those that a sibling of the same name ends: unescaped HTML in a description must not nest for ever.
constexpr std::array voids{core("br"), core("hr"), core("img"), core("input"), core("wbr"), core("area"), core("meta"), core("param")};
constexpr std::array closed_by_sibling{core("p"), core("li"), core("dt"), core("dd"), core("tr"), core("td"), core("th"), core("option")};
// Elements whose white space means nothing.
constexpr std::array structural{core("rss"),  core("channel"), core("item"), core("feed"),    core("entry"),  key(Ns::rdf, "RDF"),
                                core("opml"), core("body"),    core("head"), core("outline"), core("author"), key(Ns::media, "group")};

bool any_of(std::span<const Key> keys, Key key) { return std::ranges::find(keys, key) != keys.end(); }

}  // namespace

class Reader {
 public:
  Reader(std::string& text, const Limits& limits, Document& document)
      : begin_(text.data()), at_(text.data()), end_(text.data() + text.size()), limits_(limits), document_(document) {
    document_.nodes_.reserve(text.size() / 96 + 16);
    document_.nodes_.emplace_back();
    open_.push_back({0, 0, 0, Ns::core, 0});
  }

  Status run() {
    while (at_ < end_) {
      char* mark = find('<', at_);
      if (mark == nullptr) mark = end_;
      // A < that starts nothing is text.
      while (mark < end_ && !(mark + 1 < end_ && (starts_name(mark[1]) || mark[1] == '/' || mark[1] == '!' || mark[1] == '?'))) {
        warn(stray_, "a < that starts no tag was read as text");
        char* further = mark + 1 < end_ ? find('<', mark + 1) : nullptr;
        mark = further ? further : end_;
      }
      if (mark > at_) add_text(at_, mark);
      at_ = mark;
      if (at_ == end_) break;
      if (at_[1] == '/') end_tag();
      else if (at_[1] == '!') declaration();
      else if (at_[1] == '?') skip_past("?>", 2);
      else TRY(start_tag());
    }
    document_.is_cut_ = open_.size() > 1;
    if (document_.is_cut_) warn(truncated_, "the document ends inside <" + shortened(document_.nodes_[open_.back().node].text) + ">");
    return {};
  }

 private:
  struct Open {
    std::uint32_t node, last_child;
    std::uint32_t bindings;  // how many were in scope outside
    Ns default_ns;           // outside
    bool structural;
  };
  struct Binding {
    std::string_view prefix;
    Ns ns;
  };

  char* find(char c, char* from) const { return static_cast<char*>(std::memchr(from, c, static_cast<std::size_t>(end_ - from))); }
  // Nothing is searched for twice when it is not there: that would be quadratic.
  char* find_sequence(std::string_view what, char* from, bool& absent) const {
    if (absent) return nullptr;
    for (char* p = from; p < end_; ++p) {  // memchr for the first byte is faster than memmem: it is rare in what is skipped
      p = find(what[0], p);
      if (p == nullptr || static_cast<std::size_t>(end_ - p) < what.size()) break;
      if (std::memcmp(p, what.data(), what.size()) == 0) return p;
    }
    absent = true;
    return nullptr;
  }
  void warn(bool& flag, std::string text) {
    if (!flag) document_.warnings_.push_back(std::move(text));
    flag = true;
  }

  std::uint32_t append(const Node& node) {
    const auto index = static_cast<std::uint32_t>(document_.nodes_.size());
    document_.nodes_.push_back(node);
    Open& parent = open_.back();
    document_.nodes_.back().parent = parent.node;
    if (parent.last_child) document_.nodes_[parent.last_child].next = index;
    else document_.nodes_[parent.node].child = index;
    parent.last_child = index;
    return index;
  }

  void add_text(char* begin, char* end) {
    if (open_.size() == 1) return;  // outside of the root there is no text
    if (open_.back().structural && std::all_of(begin, end, is_space)) return;
    append({.key = 0, .text = decode(begin, end)});
  }

  // Character references and entities become characters, in place: what they stand for is never longer than they are, but for entities of the DTD.
  std::string_view decode(char* begin, char* end) {
    char* amp = static_cast<char*>(std::memchr(begin, '&', static_cast<std::size_t>(end - begin)));
    if (amp == nullptr) return view(begin, end);
    char* out = amp;
    std::string* longer = nullptr;  // set when an entity's text did not fit
    const auto put = [&](std::string_view bytes, const char* read_to) {
      if (!longer && out + bytes.size() > read_to) { longer = &document_.expanded_.emplace_back(begin, out); }
      if (longer) longer->append(bytes);
      else {
        std::memmove(out, bytes.data(), bytes.size());
        out += bytes.size();
      }
    };
    std::string character;
    for (char* in = amp; in < end;) {
      if (*in != '&') {
        char* stop = static_cast<char*>(std::memchr(in, '&', static_cast<std::size_t>(end - in)));
        if (!stop) stop = end;
        put(view(in, stop), stop);
        in = stop;
        continue;
      }
      const char* semicolon = in + 1;
      while (semicolon < end && semicolon - in < 40 && *semicolon != ';' && name_bytes[static_cast<unsigned char>(*semicolon)] && *semicolon != '&')
        ++semicolon;
      const bool closed = semicolon < end && *semicolon == ';' && semicolon > in + 1;
      const std::string_view name = closed ? view(in + 1, semicolon) : std::string_view();
      character.clear();
      std::string_view value;
      if (closed && reference(name, character, value)) {
        in += name.size() + 2;
        put(value, in);
      } else {
        warn(ampersand_, "a bare & was read as text");
        put("&", in + 1);
        ++in;
      }
    }
    return longer ? std::string_view(*longer) : view(begin, out);
  }

  bool reference(std::string_view name, std::string& buffer, std::string_view& value) {
    if (name[0] == '#') {
      const bool hex = name.size() > 1 && (name[1] == 'x' || name[1] == 'X');
      std::uint32_t code = 0;
      std::size_t at = hex ? 2 : 1;
      if (at == name.size()) return false;
      for (; at < name.size(); ++at) {
        const char c = name[at];
        const char lower = static_cast<char>(c | 0x20);
        std::uint32_t digit;
        if (is_digit(c)) digit = static_cast<std::uint32_t>(c - '0');
        else if (hex && lower >= 'a' && lower <= 'f') digit = static_cast<std::uint32_t>(lower - 'a' + 10);
        else return false;
        if (code < 0x110000) code = code * (hex ? 16 : 10) + digit;
      }
      code = windows1252(code);  // as HTML has it
      if (code == 0) code = 0xFFFD;
      if (code >= 0x20 || code == '\t' || code == '\n' || code == '\r') append_utf8(buffer, code);
      value = buffer;
      return true;
    }
    if (name == "amp") value = "&";
    else if (name == "lt") value = "<";
    else if (name == "gt") value = ">";
    else if (name == "quot") value = "\"";
    else if (const auto declared = entities_.find(name); declared != entities_.end()) {
      value = declared->second;
      if (expanded_ + value.size() > max_expanded_bytes) {
        warn(expansion_, "entities that grow beyond 1 MB were left as they are");
        return false;
      }
      expanded_ += value.size();
    } else if (const char32_t c = html_entity(name)) {
      append_utf8(buffer, c);
      value = buffer;
    } else return false;
    return true;
  }

  // ---- <!…> and <?…>

  void skip_past(std::string_view what, std::size_t skip) {
    bool& absent = what == "?>" ? no_instruction_end_ : no_comment_end_;
    char* stop = find_sequence(what, at_ + skip, absent);
    if (!stop && what == "?>") stop = find('>', at_), what = ">";
    if (!stop) {
      warn(unclosed_, "a comment or instruction that never ends");
      at_ = what == "-->" ? at_ + skip : end_;
      return;
    }
    at_ = stop + what.size();
  }

  void declaration() {
    const std::string_view rest = view(at_, end_);
    if (rest.starts_with("<![CDATA[")) return cdata();
    if (rest.starts_with("<!--")) return skip_past("-->", 4);
    if (rest.size() > 9 && equal_ignoring_case(rest.substr(2, 7), "DOCTYPE")) return doctype();
    char* stop = find('>', at_);
    at_ = stop ? stop + 1 : end_;
  }

  void cdata() {
    char* begin = at_ + 9;
    char* stop = find_sequence("]]>", begin, no_cdata_end_);
    char* next = stop ? stop + 3 : end_;
    if (!stop) {  // it ends with its element then, else with the document
      warn(unclosed_, "a CDATA section that never ends");
      const std::string end_tag = "</" + std::string(document_.nodes_[open_.back().node].text) + ">";
      bool absent = false;
      if (open_.size() > 1 && cdata_rescues_++ < 64) stop = find_sequence(end_tag, begin, absent);
      stop = next = stop ? stop : end_;
    }
    if (stop > begin && open_.size() > 1) append({.key = 0, .text = view(begin, stop), .cdata = true});
    at_ = next;
  }

  void doctype() {
    char* p = doctype_unclosed_ ? end_ : at_ + 9;
    bool subset = false;
    for (; p < end_; ++p) {
      if (*p == '"' || *p == '\'') {
        char* quote = find(*p, p + 1);
        if (!quote) break;
        p = quote;
      } else if (*p == '[' && !subset) subset = true;
      else if (*p == ']') subset = false;
      else if (*p == '>' && !subset) {
        at_ = p + 1;
        return;
      } else if (subset && view(p, end_).starts_with("<!--")) {
        char* stop = find_sequence("-->", p, no_comment_end_);
        if (!stop) break;
        p = stop + 2;
      } else if (subset && view(p, end_).starts_with("<!ENTITY")) {
        p = entity(p + 8);
        if (p >= end_) break;
      }
    }
    doctype_unclosed_ = true;
    warn(unclosed_, "a DOCTYPE that never ends");  // go on behind its first >
    char* stop = find('>', at_);
    at_ = stop ? stop + 1 : end_;
  }

  // <!ENTITY name "value">: plain text only. What is external, a parameter, or grows is not kept. Returns its last byte.
  char* entity(char* p) {
    const auto skip_space = [&] {
      while (p < end_ && is_space(*p)) ++p;
    };
    skip_space();
    const char* name = p;
    while (p < end_ && name_bytes[static_cast<unsigned char>(*p)]) ++p;
    const std::string_view named = view(name, p);
    skip_space();
    if (p < end_ && (*p == '"' || *p == '\'') && !named.empty() && named != "%") {
      char* quote = find(*p, p + 1);
      if (!quote) return end_;
      const std::string_view source = view(p + 1, quote);
      // References inside are expanded now, by what is known so far: growth is bounded and nothing can refer to itself.
      std::string value, buffer;
      for (std::size_t i = 0; i < source.size() && value.size() <= max_entity_bytes;) {
        const std::size_t amp = std::min(source.find('&', i), source.size());
        value.append(source, i, amp - i);
        if ((i = amp) == source.size()) break;
        const std::size_t semicolon = source.substr(0, std::min(source.size(), i + 40)).find(';', i);
        std::string_view inner;
        buffer.clear();
        if (semicolon != std::string_view::npos && semicolon > i + 1 && reference(source.substr(i + 1, semicolon - i - 1), buffer, inner)) {
          value += inner;
          i = semicolon + 1;
        } else {
          value += '&';
          ++i;
        }
      }
      if (value.size() <= max_entity_bytes && entities_.size() < max_entities) entities_.try_emplace(named, std::move(value));
      else warn(entity_, "an entity too large or one too many was not kept");
      p = quote + 1;
    } else warn(external_, "an external or parameter entity was not looked at");
    while (p < end_ && *p != '>') {
      if (*p == '"' || *p == '\'') {
        char* quote = find(*p, p + 1);
        if (!quote) return end_;
        p = quote;
      }
      ++p;
    }
    return p;
  }

  // ---- tags

  void end_tag() {
    char* begin = at_ + 2;
    char* p = begin;
    while (p < end_ && name_bytes[static_cast<unsigned char>(*p)]) ++p;
    const std::string_view name = view(begin, p);
    if (p < end_ && *p != '>') {
      // Whatever stands behind the name; a < means that the > was forgotten.
      while (p < end_ && *p != '>' && *p != '<') ++p;
    }
    at_ = p < end_ && *p == '>' ? p + 1 : p;
    if (document_.nodes_[open_.back().node].text == name && open_.size() > 1) return close(open_.size() - 1);
    for (std::size_t i = open_.size(); --i > 0;)
      if (equal_ignoring_case(document_.nodes_[open_[i].node].text, name)) {
        if (i + 1 != open_.size()) warn(mismatch_, "end tags that do not fit their start tags, the first is </" + shortened(name) + ">");
        return close(i);
      }
    if (!any_of(voids, core(name))) warn(mismatch_, "an end tag without a start: </" + shortened(name) + ">");
  }

  std::string place() const { return "byte " + std::to_string(at_ - begin_); }

  void close(std::size_t level) {
    default_ns_ = open_[level].default_ns;
    bindings_.resize(open_[level].bindings);
    open_.resize(level);
  }

  Status start_tag() {
    if (++elements_ > limits_.elements)
      return fail(Code::too_large, say("elements_too_many", "more than {limit} elements", {{"limit", limits_.elements}}), place(), "give a smaller document");
    char* p = at_ + 1;
    const char* begin = p;
    while (p < end_ && name_bytes[static_cast<unsigned char>(*p)]) ++p;
    const std::string_view name = view(begin, p);
    Node node{.text = name, .attribute = static_cast<std::uint32_t>(document_.attributes_.size())};
    const auto outer_bindings = static_cast<std::uint32_t>(bindings_.size());
    const Ns outer_default = default_ns_;
    bool prefixed = false, ended = false;
    while (p < end_) {
      while (p < end_ && is_space(*p)) ++p;
      if (p == end_) break;
      if (*p == '>') {
        ++p;
        break;
      }
      if (*p == '/') {
        ended = p + 1 < end_ && p[1] == '>';
        ++p;
        continue;
      }
      if (*p == '<') {
        warn(tag_, "a tag without its >");
        break;
      }
      p = attribute(p, node, prefixed);
    }
    at_ = p;
    node.attributes = static_cast<std::uint16_t>(document_.attributes_.size() - node.attribute);
    if (prefixed)
      for (std::size_t i = node.attribute; i < document_.attributes_.size(); ++i) resolve(document_.attributes_[i]);

    const std::size_t colon = name.find(':');
    const std::string_view local = colon == std::string_view::npos ? name : name.substr(colon + 1);
    if (!root_seen_) {
      root_seen_ =
          equal_ignoring_case(local, "feed") || equal_ignoring_case(local, "entry") || equal_ignoring_case(local, "rss") || equal_ignoring_case(local, "RDF");
      atom_document_ = equal_ignoring_case(local, "feed") || equal_ignoring_case(local, "entry");
      if (root_seen_ && !atom_document_ && default_ns_ == Ns::atom) default_ns_ = Ns::core;  // an <rss> that says it is Atom is not
    }
    node.ns = colon == std::string_view::npos ? default_ns_ : lookup(name.substr(0, colon));
    if (atom_document_ && node.ns == Ns::atom) node.ns = Ns::core;
    node.key = key(node.ns, local);

    if (node.key == core("item") || node.key == core("entry")) {  // these never nest: the one before was not closed
      for (std::size_t i = open_.size(); --i > 0;)
        if (document_.nodes_[open_[i].node].key == node.key) {
          warn(resync_, "an <" + std::string(local) + "> that is not closed before the next");
          rescue(i, outer_bindings);
          break;
        }
    } else if (open_.size() > 1 && document_.nodes_[open_.back().node].key == node.key && any_of(closed_by_sibling, node.key)) {
      rescue(open_.size() - 1, outer_bindings);
    }
    if (open_.size() > limits_.depth)
      return fail(Code::too_deep, say("elements_too_deep", "elements nested deeper than {limit} levels", {{"limit", limits_.depth}}), place(),
                  "give a flatter document");
    const std::uint32_t index = append(node);
    if (ended || any_of(voids, node.key)) {
      default_ns_ = outer_default;
      bindings_.resize(std::min<std::size_t>(bindings_.size(), outer_bindings));
    } else {
      open_.push_back(
          {index, 0, std::min<std::uint32_t>(outer_bindings, static_cast<std::uint32_t>(bindings_.size())), outer_default, any_of(structural, node.key)});
    }
    return {};
  }

  // Closes level and all below it although a start tag was read already: the tag's own bindings are lost when there are any, which mended text can bear.
  void rescue(std::size_t level, std::uint32_t outer_bindings) {
    const Ns now = default_ns_;
    const bool own = bindings_.size() > outer_bindings;
    open_.resize(level + 1);
    const std::uint32_t keep = open_[level].bindings;
    if (!own) bindings_.resize(keep);
    default_ns_ = now;
    open_.resize(level);
  }

  char* attribute(char* p, Node& node, bool& prefixed) {
    const char* begin = p;
    while (p < end_ && name_bytes[static_cast<unsigned char>(*p)]) ++p;
    const std::string_view name = view(begin, p);
    if (name.empty()) return p + 1;  // a stray quote or =
    while (p < end_ && is_space(*p)) ++p;
    std::string_view value;
    if (p < end_ && *p == '=') {
      ++p;
      while (p < end_ && is_space(*p)) ++p;
      char* stop = nullptr;
      bool& absent = p < end_ && *p == '"' ? no_double_quote_ : no_single_quote_;
      if (p < end_ && (*p == '"' || *p == '\'') && !absent) {
        stop = find(*p, p + 1);
        absent = stop == nullptr;
      }
      if (stop) {
        value = decode(p + 1, stop);
        p = stop + 1;
      } else {
        warn(quote_, "an attribute without quotes");
        char* from = p;
        while (p < end_ && !is_space(*p) && *p != '>') ++p;
        value = decode(from, p);
      }
    } else warn(quote_, "an attribute without a value");
    const std::size_t count = document_.attributes_.size() - node.attribute;
    if (count >= limits_.attributes) {
      warn(attributes_, "more than " + std::to_string(limits_.attributes) + " attributes on one element");
      return p;
    }
    Attribute made{0, name, value};
    if (name.find(':') == std::string_view::npos) {
      if (name == "xmlns") declare({}, value);
      else made.key = core(name);
    } else if (name.starts_with("xmlns:")) declare(name.substr(6), value);
    else if (equal_ignoring_case(name, "xml:base")) {
      made.key = key(Ns::xml, "base");
      document_.has_base_ = true;
    } else if (equal_ignoring_case(name, "xml:lang")) {
      made.key = key(Ns::xml, "lang");
      document_.has_language_ = true;
    } else prefixed = true;
    document_.attributes_.push_back(made);
    return p;
  }

  void declare(std::string_view prefix, std::string_view uri) {
    const Vocabulary* known = find_vocabulary(uri);
    if (known && known->dialect != Dialect::none && (document_.dialect_ == Dialect::none || prefix.empty()) && !default_dialect_) {
      document_.dialect_ = known->dialect;
      default_dialect_ = prefix.empty();
    }
    if (prefix.empty()) {
      // An unknown default namespace on a feed's own elements is an invention of its author; inside content it is another vocabulary.
      default_ns_ = known ? known->ns : open_.size() <= 2 ? Ns::core : Ns::other;
      return;
    }
    if (bindings_.size() >= max_bindings) return warn(bindings_full_, "more than " + std::to_string(max_bindings) + " namespaces at once");
    bindings_.push_back({prefix, known ? known->ns : Ns::other});
  }

  Ns lookup(std::string_view prefix) const {
    for (std::size_t i = bindings_.size(); i-- > 0;)
      if (bindings_[i].prefix == prefix) return bindings_[i].ns;
    for (const auto& [name, ns] : usual_prefixes)
      if (equal_ignoring_case(name, prefix)) return ns;
    return prefix.empty() ? Ns::core : Ns::other;
  }

  void resolve(Attribute& attribute) const {
    const std::size_t colon = attribute.name.find(':');
    if (attribute.key != 0 || colon == std::string_view::npos || attribute.name.starts_with("xmlns")) return;
    const Ns ns = lookup(attribute.name.substr(0, colon));
    attribute.key = key(ns, attribute.name.substr(colon + 1));
  }

  const char* begin_;
  char* at_;
  char* end_;
  const Limits& limits_;
  Document& document_;
  std::vector<Open> open_;
  std::vector<Binding> bindings_;
  std::unordered_map<std::string_view, std::string> entities_;
  Ns default_ns_ = Ns::core;
  std::size_t elements_ = 0, expanded_ = 0, cdata_rescues_ = 0;
  bool root_seen_ = false, atom_document_ = false, default_dialect_ = false, doctype_unclosed_ = false;
  bool no_instruction_end_ = false, no_comment_end_ = false, no_cdata_end_ = false, no_double_quote_ = false, no_single_quote_ = false;
  // Each warning is given once.
  bool stray_ = false, truncated_ = false, ampersand_ = false, expansion_ = false, unclosed_ = false, entity_ = false, external_ = false, mismatch_ = false,
       tag_ = false, resync_ = false, quote_ = false, attributes_ = false, bindings_full_ = false;
};

Result<Document> Document::parse(std::string& text, const Limits& limits) {
  CHECK(text.size() < UINT32_MAX);
  Document document;
  TRY(Reader(text, limits, document).run());
  return document;
}

const Node* Element::at(std::uint32_t index) const { return document_->nodes_.data() + index; }

std::string_view Element::local_name() const {
  const std::string_view full = name();
  const std::size_t colon = full.find(':');
  return colon == std::string_view::npos ? full : full.substr(colon + 1);
}
Element Element::parent() const { return node_ && node_ != at(0) ? Element(document_, at(node_->parent)) : Element(); }

Element Element::element_from(std::uint32_t index) const {
  while (index && at(index)->key == 0) index = at(index)->next;
  return index ? Element(document_, at(index)) : Element();
}
Element Element::first() const { return node_ ? element_from(node_->child) : Element(); }
Element Element::next() const { return node_ ? element_from(node_->next) : Element(); }
Element Element::child(Key key) const {
  Element child = first();
  while (child && child.key() != key) child = child.next();
  return child;
}

std::string_view Element::attribute(Key key) const {
  if (!node_) return {};
  const Attribute* const attributes = document_->attributes_.data() + node_->attribute;
  for (std::size_t i = 0; i < node_->attributes; ++i)
    if (attributes[i].key == key) return attributes[i].value;
  return {};
}
bool Element::has_attribute(Key key) const {
  if (!node_) return false;
  const Attribute* const attributes = document_->attributes_.data() + node_->attribute;
  return std::any_of(attributes, attributes + node_->attributes, [&](const Attribute& a) { return a.key == key; });
}

namespace {
// Visits everything below `top` in document order: enter(index) for every node, leave(index) for every element. Iterative.
template <class Enter, class Leave>
void walk(const std::vector<Node>& nodes, std::uint32_t top, Enter enter, Leave leave) {
  std::uint32_t at = nodes[top].child;
  while (at) {
    enter(at);
    if (nodes[at].child) {
      at = nodes[at].child;
      continue;
    }
    for (;;) {
      if (nodes[at].key) leave(at);
      if (nodes[at].next) {
        at = nodes[at].next;
        break;
      }
      at = nodes[at].parent;
      if (at == top) return;
    }
  }
}
}  // namespace

std::string_view Element::text(std::string& scratch) const {
  if (!node_ || !node_->child) return {};
  const std::vector<Node>& nodes = document_->nodes_;
  const Node& only = *at(node_->child);
  if (only.key == 0 && only.next == 0) return only.text;
  scratch.clear();
  walk(
      nodes, static_cast<std::uint32_t>(node_ - nodes.data()),
      [&](std::uint32_t i) {
        if (nodes[i].key == 0) scratch += nodes[i].text;
      },
      [](std::uint32_t) {});
  return scratch;
}

std::string Element::inner_html(const std::function<std::string(Element, std::string_view)>& address) const {
  std::string out;
  if (!node_) return out;
  const std::vector<Node>& nodes = document_->nodes_;
  constexpr Key key_of_base = xml::key(Ns::xml, "base");
  const auto shown = [](const Node& n) {
    const std::size_t colon = n.ns == Ns::xhtml || n.ns == Ns::svg || n.ns == Ns::mathml ? n.text.find(':') : std::string_view::npos;
    return colon == std::string_view::npos ? n.text : n.text.substr(colon + 1);
  };
  const auto is_void = [](const Node& n) { return any_of(voids, n.key) || (n.ns == Ns::xhtml && any_of(voids, core(n.text.substr(n.text.find(':') + 1)))); };
  walk(
      nodes, static_cast<std::uint32_t>(node_ - nodes.data()),
      [&](std::uint32_t i) {
        const Node& n = nodes[i];
        if (n.key == 0) return append_escaped(out, n.text);
        out += '<';
        out += shown(n);
        for (std::size_t a = 0; a < n.attributes; ++a) {
          const Attribute& attribute = document_->attributes_[n.attribute + a];
          if (attribute.name.starts_with("xmlns") || attribute.key == key_of_base) continue;
          out += ' ';
          out += attribute.name;
          out += "=\"";
          if (address && (attribute.key == core("href") || attribute.key == core("src")))
            append_escaped(out, address(Element(document_, at(i)), attribute.value));
          else append_escaped(out, attribute.value);
          out += '"';
        }
        out += '>';
      },
      [&](std::uint32_t i) {
        const Node& n = nodes[i];
        if (is_void(n)) return;
        out += "</";
        out += shown(n);
        out += '>';
      });
  return out;
}

void append_escaped(std::string& out, std::string_view text) {
  std::size_t done = 0;
  for (std::size_t at; (at = text.find_first_of("&<>\"", done)) != std::string_view::npos; done = at + 1) {
    out.append(text, done, at - done);
    out += text[at] == '&' ? "&amp;" : text[at] == '<' ? "&lt;" : text[at] == '>' ? "&gt;" : "&quot;";
  }
  out.append(text, done);
}

}  // namespace weir::xml
