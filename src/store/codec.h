// Texts of items as they lie in the database: content_html, content_text and summary in one zstd frame, with a shared dictionary for their script when
// there is one. Dictionaries are append-only: a body names the one it was made with. store/*.cc only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "types/item.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;
struct ZSTD_CDict_s;
struct ZSTD_DDict_s;

namespace weir::store {

class Connection;

enum class Script : std::uint8_t { other = 0, cjk = 1 };  // also the dictionary ids that mean "none" for that script
inline constexpr int scripts = 2;
Script script_of(std::string_view text);  // by a sample of its characters

// Every dictionary that was needed so far, ready for use. Any thread; entries never move or go.
class Dictionaries {
 public:
  Dictionaries();
  ~Dictionaries();
  struct Entry;
  // 0 and 1 give nullptr: no dictionary. Reads it from the database when it is new here. Errors: corrupt (there is none of that id), io.
  Result<const Entry*> find(int id, Connection& connection);
  // What new bodies of this script use.
  int current(Script script) const;
  void set_current(Script script, int id);
  Status load_current(Connection& connection);  // ids only

 private:
  mutable std::mutex mutex_;
  std::map<int, std::unique_ptr<Entry>> entries_;
  int current_[scripts] = {0, 1};
};

// Contexts of one thread at a time.
class Codec {
 public:
  Codec();
  ~Codec();
  struct Packed {
    int dict = 0;
    std::string bytes;
  };
  Result<Packed> pack(const Item& item, Dictionaries& dictionaries, Connection& connection);
  // Errors: corrupt. Views into this codec, valid until it unpacks again.
  struct Texts {
    std::string_view html, text, summary;
    std::string_view read() const { return !text.empty() ? text : !html.empty() ? html : summary; }  // what plain_text(item) is made of, beside the title
  };
  Result<Texts> look(int dict, std::string_view bytes, Dictionaries& dictionaries, Connection& connection);
  // The same, copied.
  Status unpack(int dict, std::string_view bytes, Item& into, Dictionaries& dictionaries, Connection& connection);

 private:
  struct FreeC {
    void operator()(ZSTD_CCtx_s* c) const;
  };
  struct FreeD {
    void operator()(ZSTD_DCtx_s* d) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, FreeC> compress_;
  std::unique_ptr<ZSTD_DCtx_s, FreeD> expand_;
  std::string plain_;
};

// The plain form that pack() compresses: what a dictionary is trained on.
std::string framed(const Item& item);
// Errors: invalid (too few samples to be worth it).
Result<std::string> train(const std::vector<std::string>& samples, std::size_t size);

}  // namespace weir::store
