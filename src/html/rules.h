// What becomes of each HTML element: the allow-list. One row an element; what has no row is left out and its content stays. Private to src/html.
#pragma once

#include <lexbor/tag/const.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace weir::html {

enum class Kind : std::uint8_t {
  unwrap,  // the tag goes, its content stays
  drop,    // goes with all that is in it
  keep,
  empty,  // void elements that stay: br, hr, wbr, col
  link,
  image,
  frame,
  media,
  source,  // each has a function of its own
};

enum Flag : std::uint16_t {
  block = 1,     // begins and ends a line of plain text
  closes_p = 2,  // its start tag ends an open <p>
  special = 4,   // "special" in the standard's sense: stops the search for an open <li>, <dd>
  heading = 8,
  pointless = 16,  // without attributes it says nothing
  separate = 32,   // a table cell: a space in plain text
  // Says nothing inside itself; one bit an element, from 1 << 8 up.
  bold = 1 << 8,
  strong = 1 << 9,
  italic = 1 << 10,
  emphasis = 1 << 11,
  underline = 1 << 12,
  struck = 1 << 13,
  formatting = bold | strong | italic | emphasis | underline | struck,
};

struct Rule {
  Kind kind = Kind::unwrap;
  std::uint16_t flags = 0;
  std::uint16_t tag = 0;  // as what it is written
  std::string_view name;
};

inline constexpr std::array<Rule, LXB_TAG__LAST_ENTRY> rules = [] {
  std::array<Rule, LXB_TAG__LAST_ENTRY> out{};
  const auto row = [&](Kind kind, lxb_tag_id_t tag, std::string_view name, unsigned flags = 0) {
    out[tag] = {kind, static_cast<std::uint16_t>(flags), static_cast<std::uint16_t>(tag), name};
  };
  const auto keep = [&](lxb_tag_id_t tag, std::string_view name, unsigned flags = 0) { row(Kind::keep, tag, name, flags); };
  const auto same_as = [&](lxb_tag_id_t tag, lxb_tag_id_t other) { out[tag] = out[other]; };
  const auto drop = [&](auto... tags) { ((out[tags].kind = Kind::drop), ...); };

  constexpr unsigned part = block | closes_p | special;
  keep(LXB_TAG_P, "p", part);
  keep(LXB_TAG_DIV, "div", part);
  keep(LXB_TAG_ARTICLE, "article", part);
  keep(LXB_TAG_SECTION, "section", part);
  keep(LXB_TAG_ASIDE, "aside", part);
  keep(LXB_TAG_HEADER, "header", part);
  keep(LXB_TAG_FOOTER, "footer", part);
  keep(LXB_TAG_ADDRESS, "address", part);
  keep(LXB_TAG_BLOCKQUOTE, "blockquote", part);
  keep(LXB_TAG_PRE, "pre", part);
  keep(LXB_TAG_FIGURE, "figure", part);
  keep(LXB_TAG_FIGCAPTION, "figcaption", part);
  keep(LXB_TAG_DETAILS, "details", part);
  keep(LXB_TAG_SUMMARY, "summary", part);
  keep(LXB_TAG_H1, "h1", part | heading);
  keep(LXB_TAG_H2, "h2", part | heading);
  keep(LXB_TAG_H3, "h3", part | heading);
  keep(LXB_TAG_H4, "h4", part | heading);
  keep(LXB_TAG_H5, "h5", part | heading);
  keep(LXB_TAG_H6, "h6", part | heading);
  keep(LXB_TAG_UL, "ul", part);
  keep(LXB_TAG_OL, "ol", part);
  keep(LXB_TAG_LI, "li", part);
  keep(LXB_TAG_DL, "dl", part);
  keep(LXB_TAG_DT, "dt", part);
  keep(LXB_TAG_DD, "dd", part);
  keep(LXB_TAG_TABLE, "table", part);
  keep(LXB_TAG_CAPTION, "caption", block | special);
  keep(LXB_TAG_COLGROUP, "colgroup", special);
  row(Kind::empty, LXB_TAG_COL, "col", special);
  keep(LXB_TAG_THEAD, "thead", block | special);
  keep(LXB_TAG_TBODY, "tbody", block | special);
  keep(LXB_TAG_TFOOT, "tfoot", block | special);
  keep(LXB_TAG_TR, "tr", block | special);
  keep(LXB_TAG_TD, "td", separate | special);
  keep(LXB_TAG_TH, "th", separate | special);
  row(Kind::empty, LXB_TAG_HR, "hr", part);
  row(Kind::empty, LXB_TAG_BR, "br", block | special);
  row(Kind::empty, LXB_TAG_WBR, "wbr", special);
  keep(LXB_TAG_B, "b", bold);
  keep(LXB_TAG_STRONG, "strong", strong);
  keep(LXB_TAG_I, "i", italic);
  keep(LXB_TAG_EM, "em", emphasis);
  keep(LXB_TAG_U, "u", underline);
  keep(LXB_TAG_S, "s", struck);
  keep(LXB_TAG_SMALL, "small");
  keep(LXB_TAG_MARK, "mark");
  keep(LXB_TAG_SUB, "sub");
  keep(LXB_TAG_SUP, "sup");
  keep(LXB_TAG_DEL, "del");
  keep(LXB_TAG_INS, "ins");
  keep(LXB_TAG_ABBR, "abbr");
  keep(LXB_TAG_CITE, "cite");
  keep(LXB_TAG_Q, "q");
  keep(LXB_TAG_DFN, "dfn");
  keep(LXB_TAG_TIME, "time");
  keep(LXB_TAG_CODE, "code");
  keep(LXB_TAG_KBD, "kbd");
  keep(LXB_TAG_SAMP, "samp");
  keep(LXB_TAG_VAR, "var");
  keep(LXB_TAG_BDI, "bdi");
  keep(LXB_TAG_BDO, "bdo", pointless);
  keep(LXB_TAG_SPAN, "span", pointless);
  keep(LXB_TAG_RUBY, "ruby");
  keep(LXB_TAG_RT, "rt");
  keep(LXB_TAG_RP, "rp");
  keep(LXB_TAG_PICTURE, "picture");
  row(Kind::link, LXB_TAG_A, "a");
  row(Kind::image, LXB_TAG_IMG, "img", special);
  row(Kind::frame, LXB_TAG_IFRAME, "iframe");
  row(Kind::source, LXB_TAG_SOURCE, "source", special);
  row(Kind::media, LXB_TAG_VIDEO, "video");
  row(Kind::media, LXB_TAG_AUDIO, "audio");

  // Old or foreign names for what is above.
  same_as(LXB_TAG_STRIKE, LXB_TAG_S);
  same_as(LXB_TAG_TT, LXB_TAG_CODE);
  same_as(LXB_TAG_ACRONYM, LXB_TAG_ABBR);
  same_as(LXB_TAG_MENU, LXB_TAG_UL);
  same_as(LXB_TAG_DIR, LXB_TAG_UL);
  same_as(LXB_TAG_HGROUP, LXB_TAG_HEADER);
  same_as(LXB_TAG_XMP, LXB_TAG_PRE);
  same_as(LXB_TAG_LISTING, LXB_TAG_PRE);
  same_as(LXB_TAG_PLAINTEXT, LXB_TAG_PRE);
  for (const lxb_tag_id_t tag :
       {LXB_TAG_MAIN, LXB_TAG_NAV, LXB_TAG_CENTER, LXB_TAG_FORM, LXB_TAG_FIELDSET, LXB_TAG_LEGEND, LXB_TAG_DIALOG, LXB_TAG_MARQUEE, LXB_TAG_SEARCH})
    same_as(tag, LXB_TAG_DIV);

  drop(LXB_TAG_SCRIPT, LXB_TAG_STYLE, LXB_TAG_TEMPLATE, LXB_TAG_NOSCRIPT, LXB_TAG_NOEMBED, LXB_TAG_NOFRAMES, LXB_TAG_SVG, LXB_TAG_MATH, LXB_TAG_EMBED,
       LXB_TAG_APPLET, LXB_TAG_PARAM, LXB_TAG_CANVAS, LXB_TAG_MAP, LXB_TAG_AREA, LXB_TAG_TRACK, LXB_TAG_BGSOUND, LXB_TAG_FRAME, LXB_TAG_FRAMESET);
  drop(LXB_TAG_INPUT, LXB_TAG_BUTTON, LXB_TAG_SELECT, LXB_TAG_OPTION, LXB_TAG_OPTGROUP, LXB_TAG_DATALIST, LXB_TAG_TEXTAREA, LXB_TAG_KEYGEN, LXB_TAG_METER,
       LXB_TAG_PROGRESS, LXB_TAG_OUTPUT, LXB_TAG_SELECTEDCONTENT);
  drop(LXB_TAG_TITLE, LXB_TAG_BASE, LXB_TAG_BASEFONT, LXB_TAG_LINK, LXB_TAG_META, LXB_TAG_HEAD);
  return out;
}();

}  // namespace weir::html
