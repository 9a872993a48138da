// Tokenizer and search box: any bytes. Words stay inside the text, in order, small; a plan for any text is one that FTS5 accepts.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/search.h"
#include "store/sqlite.h"
#include "store/tokenizer.h"

namespace {

weir::store::Connection& database() {
  static const auto connection = [] {
    auto made = weir::store::Connection::memory();
    CHECK(made.has_value());
    CHECK((*made)
              ->script("CREATE VIRTUAL TABLE ft USING fts5(title, content='', contentless_delete=1, tokenize='weir');"
                       "CREATE VIRTUAL TABLE f USING fts5(body, content='', contentless_delete=1, detail=none, prefix='1', tokenize='weir set')")
              .has_value());
    return std::move(*made);
  }();
  return *connection;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::store;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Purpose purpose : {Purpose::document, Purpose::query}) {
    std::size_t last = 0;
    for_each_word(text, purpose, [&](const Word& word) {
      CHECK(!word.text.empty() && word.text.size() <= 64);
      CHECK(word.start < word.end && word.end <= text.size() && word.start >= last);
      CHECK(word.text.find('"') == std::string_view::npos && word.text.find('\0') == std::string_view::npos);
      last = word.start;
      return true;
    });
  }
  const auto plan = plan_search(text);
  if (!plan || plan->match.empty()) return 0;
  (void)judge(*plan, text, text);
  Connection& db = database();
  CHECK(db.run("DELETE FROM f WHERE rowid=1").has_value());
  CHECK(db.run("INSERT INTO f(rowid, body) VALUES(1, ?)", text).has_value());
  const auto found = db.integer("SELECT rowid FROM f WHERE f MATCH ?", plan->match);
  CHECK(found.has_value());
  CHECK(db.integer("SELECT rowid FROM ft WHERE ft MATCH ?", plan->title_match).has_value());
  // A text is found by its own words, when all of it was taken in.
  if (plan->terms.size() < 40) CHECK(*found == 1);
  return 0;
}
