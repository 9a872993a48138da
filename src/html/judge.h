// What may stand in cleaned HTML, said a second time and on purpose not from rules.h: for tests and the fuzz target. It reads the output back with the
// plain parser and names the first thing that should not be there.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "base/text.h"
#include "html/tree.h"

namespace weir::html {

inline bool stands_in(std::string_view name, auto&... list) { return ((std::ranges::find(list, name) != std::end(list)) || ...); }

// Empty when the output is clean.
inline std::string complaint(std::string_view html) {
  static constexpr std::string_view tags[] = {
      "a",          "abbr",   "address", "article",  "aside", "audio",  "b",       "bdi",     "bdo", "blockquote", "br",    "caption",
      "cite",       "code",   "col",     "colgroup", "dd",    "del",    "details", "dfn",     "div", "dl",         "dt",    "em",
      "figcaption", "figure", "footer",  "h1",       "h2",    "h3",     "h4",      "h5",      "h6",  "header",     "hr",    "i",
      "img",        "ins",    "kbd",     "li",       "mark",  "ol",     "p",       "picture", "pre", "q",          "rp",    "rt",
      "ruby",       "s",      "samp",    "section",  "small", "source", "span",    "strong",  "sub", "summary",    "sup",   "table",
      "tbody",      "td",     "tfoot",   "th",       "thead", "time",   "tr",      "u",       "ul",  "var",        "video", "wbr"};
  static constexpr std::string_view everywhere[] = {"title", "lang", "dir"};
  static constexpr std::string_view attributes[] = {"colspan",  "rowspan", "span",  "start", "reversed", "type",  "value",
                                                    "datetime", "open",    "media", "sizes", "alt",      "width", "height"};
  static constexpr std::string_view addresses[] = {"href", "src", "poster", "srcset"};
  if (!is_valid_utf8(html)) return "not UTF-8";
  if (html.find('\0') != std::string_view::npos) return "NUL";
  lxb_html_document_t* const document = Tree::mine().parse(html, Start::body);
  lxb_dom_node_t* const root = lxb_dom_interface_node(document->body);
  for (lxb_dom_node_t* node = root->first_child; node != nullptr; node = following(node, root)) {
    if (node->type == LXB_DOM_NODE_TYPE_TEXT) continue;
    if (!is_element(node)) return "a node that is neither element nor text";
    std::size_t size = 0;
    const lxb_char_t* const raw = lxb_dom_element_qualified_name(lxb_dom_interface_element(node), &size);
    const std::string name(view(raw, size));
    if (node->ns != LXB_NS_HTML || !stands_in(name, tags)) return "element " + name;
    for (const lxb_dom_attr_t* one = lxb_dom_interface_element(node)->first_attr; one != nullptr; one = one->next) {
      const std::string attribute(name_of(one));
      const std::string_view value = value_of(one);
      if (stands_in(attribute, addresses)) {
        const bool web = value.starts_with("http://") || value.starts_with("https://");
        if (!web && !(name == "a" && attribute == "href" && value.starts_with("mailto:"))) return name + " " + attribute + "=" + std::string(value);
        // An address holds no space, so ", " stands between candidates only.
        if (attribute == "srcset")
          for (std::size_t at = value.find(", "); at != std::string_view::npos; at = value.find(", ", at + 1))
            if (!value.substr(at + 2).starts_with("http://") && !value.substr(at + 2).starts_with("https://")) return "srcset " + std::string(value);
        continue;
      }
      const bool fixed = (attribute == "rel" && value == "noopener noreferrer") || (attribute == "loading" && value == "lazy") ||
                         (attribute == "referrerpolicy" && value == "no-referrer") || (attribute == "controls" && value.empty()) ||
                         (attribute == "preload" && value == "none");
      if (!fixed && !stands_in(attribute, everywhere, attributes)) return name + " has " + attribute;
      if ((attribute == "width" || attribute == "height") && (value.size() < 2 && value < "3")) return "a tiny picture";
    }
    if (name == "a" && lxb_dom_interface_element(node)->first_attr == nullptr) return "a without an address";
  }
  return {};
}

}  // namespace weir::html
