// lexbor's HTML5 tree builder under a budget. Unguarded it is quadratic in at least ten ways (depth, attributes, distinct names, formatting elements that
// are rebuilt in every paragraph); the budget stands between its tokenizer and its tree builder, and lexbor stays as it is. Private to src/html.
//
// One Tree a thread: Tree::mine(). A document lives until the next parse on that thread. Its arenas are kept between documents when they are small.
#pragma once

#include <lexbor/dom/dom.h>
#include <lexbor/html/html.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace weir::html {

struct Budget {
  std::size_t depth = 256;        // open elements; deeper start tags are passed over, their content stays
  std::size_t attributes = 256;   // of one tag; the rest is cut
  std::size_t names = 20'000;     // distinct tag and attribute names: lexbor's tables have 128 buckets. Beyond: the document ends there
  std::size_t arena = 96u << 20;  // bytes of nodes and text. Beyond: the document ends there
};

enum class Start { document, body };  // body: as if it stood inside <body> of a standards-mode page, which is what content of a feed is

class Tree {
 public:
  static Tree& mine();

  // Every start tag's token, before it is judged: for what needs the places of attribute values in the source. Null: nobody watches.
  using Watcher = void (*)(void* self, const lxb_html_token_t& tag);

  // `html` must be valid UTF-8. Never null; after a cut the tree is what was built so far.
  lxb_html_document_t* parse(std::string_view html, Start start, Watcher watcher = nullptr, void* watcher_self = nullptr, const Budget& budget = {});
  bool truncated() const { return truncated_; }

  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree();

 private:
  Tree() = default;
  bool begin();
  void close();
  bool feed(std::string_view bytes);
  bool spent();
  static lxb_html_token_t* on_token(lxb_html_tokenizer_t* tokenizer, lxb_html_token_t* token, void* self);
  bool passes(lxb_html_token_t& tag);

  struct Arena {
    lexbor_mem_t* memory = nullptr;
    lexbor_mem_chunk_t* last = nullptr;
    std::size_t chunks = 0;
  };

  lxb_html_document_t* document_ = nullptr;
  lxb_html_parser_t* parser_ = nullptr;  // the document's
  lxb_html_tokenizer_token_f next_ = nullptr;
  void* next_self_ = nullptr;
  Watcher watcher_ = nullptr;
  void* watcher_self_ = nullptr;
  Budget budget_;
  std::array<Arena, 2> arenas_;
  std::size_t bytes_ = 0, repeats_ = 0;
  bool truncated_ = false;
};

// --- small readers of lexbor's nodes ---

inline std::string_view view(const lxb_char_t* data, std::size_t size) {
  return data == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char*>(data), size);
}
inline std::string_view text_of(lxb_dom_node_t* node) {
  const lexbor_str_t& data = lxb_dom_interface_character_data(node)->data;
  return view(data.data, data.length);
}
inline std::string_view name_of(const lxb_dom_attr_t* attribute) {
  std::size_t size = 0;
  const lxb_char_t* name = lxb_dom_attr_local_name(attribute, &size);
  return view(name, size);
}
inline std::string_view value_of(const lxb_dom_attr_t* attribute) {
  return attribute->value == nullptr ? std::string_view() : view(attribute->value->data, attribute->value->length);
}
inline bool is_element(const lxb_dom_node_t* node) { return node->type == LXB_DOM_NODE_TYPE_ELEMENT; }

// The node after `node` in document order inside `root`; `into` false passes over what is in it. Null at the end.
inline lxb_dom_node_t* following(lxb_dom_node_t* node, const lxb_dom_node_t* root, bool into = true) {
  if (into && node->first_child != nullptr) return node->first_child;
  while (node != root && node->next == nullptr) node = node->parent;
  return node == root || node == nullptr ? nullptr : node->next;
}

}  // namespace weir::html
