#include "html/tree.h"

#include <algorithm>

#include "base/result.h"

namespace weir::html {
namespace {

constexpr std::size_t step = 4096;  // bytes between looks at a tag that does not end
constexpr std::size_t pending_attributes = 16'384;
constexpr std::size_t kept_arena = 1u << 20;  // a parser that grew beyond it is made anew
constexpr std::size_t repeated_tags = 64;     // <body a=…><body b=…>: each only adds attributes to the one that is there

// Start tags after which the tokenizer reads something else than markup: the tree builder must see them.
bool switches_tokenizer(lxb_tag_id_t tag) {
  switch (tag) {
    case LXB_TAG_SCRIPT:
    case LXB_TAG_STYLE:
    case LXB_TAG_TEXTAREA:
    case LXB_TAG_TITLE:
    case LXB_TAG_XMP:
    case LXB_TAG_IFRAME:
    case LXB_TAG_NOEMBED:
    case LXB_TAG_NOFRAMES:
    case LXB_TAG_NOSCRIPT:
    case LXB_TAG_PLAINTEXT: return true;
    default: return false;
  }
}

// Cuts after `limit` attributes and drops those whose name was there before. (The tokenizer's own check for duplicates compares every new one with all
// before it, however many; so it is off.)
void trim_attributes(lxb_html_token_t& tag, std::size_t limit) {
  std::size_t n = 0;
  for (lxb_html_token_attr_t* one = tag.attr_first; one != nullptr;) {
    lxb_html_token_attr_t* const next = one->next;
    if (++n > limit) {
      one->prev->next = nullptr;
      tag.attr_last = one->prev;
      return;
    }
    for (const lxb_html_token_attr_t* before = tag.attr_first; before != one; before = before->next)
      if (before->name == one->name) {
        lxb_html_token_attr_remove(&tag, one);
        break;
      }
    one = next;
  }
}

}  // namespace

Tree& Tree::mine() {
  thread_local Tree tree;
  return tree;
}

Tree::~Tree() { close(); }

// Begins a document, emptied or new; on a new one it sets up the parser that comes with it.
bool Tree::begin() {
  if (truncated_ || bytes_ > kept_arena) close();
  const bool fresh = document_ == nullptr;
  if (fresh) document_ = lxb_html_document_create();
  CHECK(document_ != nullptr);
  const bool begun = lxb_html_document_parse_chunk_begin(document_) == LXB_STATUS_OK;
  if (!begun || !fresh) return begun;
  parser_ = static_cast<lxb_html_parser_t*>(document_->dom_document.parser);
  // Nobody reads the list of parse errors, and it grows with every one.
  parser_->tkz->parse_errors = lexbor_array_obj_destroy(parser_->tkz->parse_errors, true);
  parser_->tree->parse_errors = lexbor_array_obj_destroy(parser_->tree->parse_errors, true);
  lxb_html_tokenizer_keep_duplicate_set(parser_->tkz, true);
  next_ = parser_->tkz->callback_token_done;
  next_self_ = parser_->tkz->callback_token_ctx;
  lxb_html_tokenizer_callback_token_done_set(parser_->tkz, &Tree::on_token, this);
  return true;
}

void Tree::close() {
  if (document_ != nullptr) lxb_html_document_destroy(document_);  // and its parser
  document_ = nullptr;
  parser_ = nullptr;
}

lxb_html_document_t* Tree::parse(std::string_view html, Start start, Watcher watcher, void* watcher_self, const Budget& budget) {
  bool going = begin();
  budget_ = budget;
  watcher_ = watcher;
  watcher_self_ = watcher_self;
  arenas_ = {Arena{document_->dom_document.mraw->mem}, Arena{document_->dom_document.text->mem}};
  bytes_ = repeats_ = 0;

  lxb_dom_document_t* const dom = lxb_dom_interface_document(document_);
  dom->compat_mode = LXB_DOM_DOCUMENT_CMODE_NO_QUIRKS;
  dom->scripting = start == Start::body;  // then <noscript> ends at its end tag, whatever stands in it: it goes as a whole
  dom->options = LXB_DOM_DOCUMENT_OPT_WO_EVENTS;
  if (start == Start::body) going = going && feed("<!DOCTYPE html><body>");
  for (; going && !html.empty(); html.remove_prefix(std::min(step, html.size()))) going = feed(html.substr(0, step));
  if (going) going = lxb_html_document_parse_chunk_end(document_) == LXB_STATUS_OK;
  truncated_ = !going;
  return document_;
}

bool Tree::feed(std::string_view bytes) {
  if (lxb_html_document_parse_chunk(document_, reinterpret_cast<const lxb_char_t*>(bytes.data()), bytes.size()) != LXB_STATUS_OK) return false;
  std::size_t pending = 0;
  for (const lxb_html_token_attr_t* one = parser_->tkz->token->attr_first; one != nullptr && pending <= pending_attributes; one = one->next) ++pending;
  return pending <= pending_attributes && !spent();
}

// O(1) a token: only chunks that are new since the last look are added up.
bool Tree::spent() {
  for (Arena& arena : arenas_)
    while (arena.chunks < arena.memory->chunk_length) {
      arena.last = arena.last == nullptr ? arena.memory->chunk_first : arena.last->next;
      if (arena.last == nullptr) break;
      bytes_ += arena.last->size;
      ++arena.chunks;
    }
  const lxb_dom_document_t& dom = document_->dom_document;
  return bytes_ > budget_.arena || dom.attrs->entries->allocated + dom.tags->entries->allocated > budget_.names;
}

bool Tree::passes(lxb_html_token_t& tag) {
  trim_attributes(tag, budget_.attributes);
  const std::size_t open = parser_->tree->open_elements->length;
  if (open >= budget_.depth && !lxb_html_tag_is_void(tag.tag_id) && !switches_tokenizer(tag.tag_id)) return false;
  if ((tag.tag_id == LXB_TAG_BODY || tag.tag_id == LXB_TAG_HTML) && open > 0 && ++repeats_ > repeated_tags) tag.attr_first = tag.attr_last = nullptr;
  return true;
}

lxb_html_token_t* Tree::on_token(lxb_html_tokenizer_t* tokenizer, lxb_html_token_t* token, void* self) {
  Tree& tree = *static_cast<Tree*>(self);
  const bool is_tag = token->tag_id >= LXB_TAG__BEGIN;
  if (is_tag && (token->type & LXB_HTML_TOKEN_TYPE_CLOSE) == 0) {
    if (tree.watcher_ != nullptr) tree.watcher_(tree.watcher_self_, *token);
    if (!tree.passes(*token)) return token;
  }
  if (tree.spent()) {
    tokenizer->status = LXB_STATUS_STOP;
    return nullptr;
  }
  return tree.next_(tokenizer, token, tree.next_self_);
}

}  // namespace weir::html
