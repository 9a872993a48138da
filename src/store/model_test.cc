// The store against a plain model: the same random operations on both, and after every few the same questions. And every statement that these and the
// rest of the store's calls run: none goes through a table that grows.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <random>
#include <set>

#include "base/file.h"
#include "store/position.h"
#include "store/schema.h"
#include "store/sqlite.h"
#include "store/store.h"
#include "store/temp_store.h"

namespace weir::store {
namespace {

const std::vector<std::string> words = {"alpha", "beta", "gamma", "delta", "omega", "北京", "房价", "天气"};

struct ModelItem {
  ItemId id;
  int source = 0;
  std::string guid, title, text;
  Time at{}, received{}, changed{};
  std::pair<std::int64_t, int> place;  // hour, arrival
  std::set<int> member, unread, starred;
};
struct ModelSub {
  std::string folder;
  std::optional<int> keep;
};
struct ModelSource {
  SourceId id;
  bool begun = false, gone = false;
  std::map<int, ModelSub> readers;
  std::set<std::string> removed;
};

class Model {
 public:
  Model(unsigned seed, std::string_view name) : random_(seed), store_(name, {.piece = 1}) {
    for (int u = 0; u < 3; ++u) users_.push_back(OK(store_->write([&](Writer& w) { return w.add_user(fmt::format("user{}", u), now_); })));
    for (int s = 0; s < 5; ++s) {
      sources_.push_back({.id = OK(store_->write([&](Writer& w) { return w.add_feed(fmt::format("https://s{}.example/", s), now_); }))});
      for (int u = 0; u < 3; ++u)
        if (s % 3 == u || u == 0) subscribe(u, s);
    }
  }

  void step() {
    now_ += minutes(pick(200));
    switch (pick(14)) {
      case 0:
      case 1:
      case 2:
      case 3: return fetch();
      case 4:
      case 5: return mark();
      case 6: return mark_all();
      case 7: return pick(3) == 0 ? unsubscribe() : subscribe(pick(3), pick(5));
      case 8: return signal();
      case 9: now_ += hours(24 * pick(9)); return;
      case 10: return pick(2) == 0 ? purge() : (void)OK(store_->write([](Writer& w) { return w.forget_stars(); }));
      case 11: return keep();
      case 12:
        store_.index_all();
        indexed_ = true;
        return;
      default:
        if (pick(6) == 0) store_.reopen();
        return;
    }
  }

  void compare() {
    for (int u = 0; u < 3; ++u) {
      std::int64_t stars = 0;
      for (const auto& i : items_) stars += i.starred.contains(u) ? 1 : 0;
      ASSERT_EQ(OK(store_->reader()->starred_count(users_[u])), stars);
      const auto subscriptions = OK(store_->reader()->subscriptions(users_[u]));
      std::size_t readers = 0;
      for (const auto& s : sources_) readers += s.readers.contains(u) ? 1 : 0;
      ASSERT_EQ(subscriptions.size(), readers);
      for (const auto& sub : subscriptions) {
        std::int64_t unread = 0, total = 0;
        for (const auto& i : items_)
          if (sources_[i.source].id == sub.source.id) unread += i.unread.contains(u) ? 1 : 0, total += i.member.contains(u) ? 1 : 0;
        ASSERT_EQ(sub.unread, unread);
        ASSERT_EQ(sub.total, total);
      }
      for (int k = 0; k < 6; ++k) list(u);
    }
  }

 private:
  int pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

  std::string text() {
    std::string out;
    for (int i = 0, n = 1 + pick(5); i < n; ++i) out += words[pick(static_cast<int>(words.size()))] + " ";
    return out;
  }

  void fetch() {
    const int s = pick(5);
    ModelSource& source = sources_[s];
    if (source.gone) return;
    std::vector<NewItem> items;
    std::map<std::string, const NewItem*> first;
    for (int i = 0, n = pick(12); i < n; ++i)
      items.push_back(item_of(fmt::format("g{}", pick(60)), text(), "<p>" + text() + "</p>",
                              pick(2) ? std::optional(now_ - minutes(pick(4000)) + minutes(60)) : std::nullopt));
    const auto result = OK(store_->write([&](Writer& w) { return w.commit_fetch(outcome_of(source.id, now_, items)); }));

    std::vector<NewItem*> order;
    std::size_t duplicates = 0, stored = 0;
    for (auto& n : items) {
      if (first.emplace(n.item.id, &n).second) order.push_back(&n);
      else ++duplicates;
    }
    const auto published = [&](const NewItem* n) { return std::min(n->item.date_published.value_or(now_), now_); };
    std::ranges::sort(order, [&](const NewItem* a, const NewItem* b) { return published(a) != published(b) ? published(a) < published(b) : a > b; });
    std::vector<ItemId> updated;
    for (const NewItem* n : order) {
      if (source.removed.contains(n->item.id)) {
        ++duplicates;
        continue;
      }
      const auto known = std::ranges::find_if(items_, [&](const ModelItem& i) { return i.source == s && i.guid == n->item.id; });
      if (known != items_.end()) {
        ++duplicates;
        if (known->title == n->item.title && known->text == n->item.content_html) continue;
        known->title = n->item.title;
        known->text = n->item.content_html;
        known->changed = now_;
        updated.push_back(known->id);
        indexed_ = false;
        continue;
      }
      ModelItem i{.id = result.stored_ids.at(stored++),
                  .source = s,
                  .guid = n->item.id,
                  .title = n->item.title,
                  .text = n->item.content_html,
                  .at = source.begun ? now_ : published(n),
                  .received = now_,
                  .changed = now_,
                  .place = {},
                  .member = {},
                  .unread = {},
                  .starred = {}};
      i.place = {hour_of(i.at), arrivals_++};
      for (const auto& [u, sub] : source.readers) i.member.insert(u), i.unread.insert(u);
      items_.push_back(i);
      indexed_ = false;
    }
    source.begun = source.begun || !items.empty();
    ASSERT_EQ(result.stored, stored);
    ASSERT_EQ(result.duplicates, duplicates);
    ASSERT_EQ(result.updated_ids, updated);
  }

  void mark() {
    const int u = pick(3);
    const auto how = static_cast<Mark>(pick(4));
    std::vector<ItemId> ids;
    std::set<std::int64_t> changed;
    for (int i = 0, n = pick(8); i < n && !items_.empty(); ++i) {
      ModelItem& item = items_[pick(static_cast<int>(items_.size()))];
      ids.push_back(item.id);
      if (!item.member.contains(u)) continue;
      auto& set = how == Mark::read || how == Mark::unread ? item.unread : item.starred;
      const bool on = how == Mark::unread || how == Mark::star;
      if (on ? set.insert(u).second : set.erase(u) > 0) changed.insert(item.id.value);
    }
    std::set<std::int64_t> got;
    for (const ItemId id : OK(store_->write([&](Writer& w) { return w.mark(users_[u], ids, how); }))) got.insert(id.value);
    ASSERT_EQ(got, changed);
  }

  void mark_all() {
    const int u = pick(3), s = pick(5);
    MarkScope scope;
    if (pick(3) == 0) scope.source = sources_[s].id;
    else if (pick(2) == 0) scope.folder = fmt::format("folder{}", pick(2));
    if (pick(2) == 0) scope.before = now_ - hours(pick(72));
    std::int64_t n = 0;
    bool any = !scope.source && !scope.folder;
    for (const auto& source : sources_)
      any = any || (source.readers.contains(u) && (source.id == scope.source || (scope.folder && source.readers.at(u).folder == *scope.folder)));
    const auto done = store_->write([&](Writer& w) { return w.mark_all_read(users_[u], scope); });
    if (!any) {
      ASSERT_EQ(done.error().code, Code::not_found);
      return;
    }
    for (auto& i : items_) {
      if (!i.member.contains(u) || (scope.before && i.received > *scope.before)) continue;
      if (scope.source && sources_[i.source].id != scope.source) continue;
      if (scope.folder && sources_[i.source].readers.at(u).folder != *scope.folder) continue;
      n += static_cast<std::int64_t>(i.unread.erase(u));
    }
    ASSERT_EQ(OK(done), n);
  }

  void subscribe(int u, int s) {
    ModelSource& source = sources_[s];
    if (source.gone || source.readers.contains(u)) return;
    const std::string folder = fmt::format("folder{}", s % 2);
    OK(store_->write([&](Writer& w) { return w.subscribe(users_[u], source.id, "", folder); }));
    source.readers[u] = {.folder = folder, .keep = {}};
    std::vector<ModelItem*> there;
    for (auto& i : items_)
      if (i.source == s) there.push_back(&i);
    std::ranges::sort(there, std::greater<>(), [](const ModelItem* i) { return i->place; });
    for (std::size_t i = 0; i < there.size(); ++i) {
      there[i]->member.insert(u);
      if (i < 100) there[i]->unread.insert(u);
    }
  }

  void unsubscribe() {
    const int u = pick(3), s = pick(5);
    ModelSource& source = sources_[s];
    if (!source.readers.contains(u) || (source.readers.size() == 1 && pick(3) != 0)) return;
    OK(store_->write([&](Writer& w) { return w.unsubscribe(users_[u], source.id); }));
    source.readers.erase(u);
    for (auto& i : items_)
      if (i.source == s) i.member.erase(u), i.unread.erase(u), i.starred.erase(u);
  }

  void keep() {
    const int u = pick(3), s = pick(5);
    if (!sources_[s].readers.contains(u)) return;
    const std::optional<std::int32_t> days = pick(4) == 0 ? std::nullopt : std::optional(pick(12));
    OK(store_->write([&](Writer& w) { return w.edit_subscription(users_[u], sources_[s].id, {}, {}, std::optional(days)); }));
    sources_[s].readers[u].keep = days;
  }

  void purge() {
    while (OK(store_->write([&](Writer& w) { return w.purge(now_, 1 + static_cast<std::size_t>(pick(20))); }))) {}
    for (std::size_t s = 0; s < sources_.size(); ++s) {
      ModelSource& source = sources_[s];
      if (source.readers.empty()) source.gone = true;
      std::erase_if(items_, [&](ModelItem& i) {
        if (i.source != static_cast<int>(s)) return false;
        if (source.gone) return true;
        bool walked = false;
        for (const auto& [u, sub] : source.readers) {
          const int days = sub.keep.value_or(365);
          if (days == 0 || i.received + std::chrono::days(days) > now_ || i.starred.contains(u)) continue;
          i.member.erase(u);
          i.unread.erase(u);
          walked = true;
        }
        if (!walked || !i.member.empty()) return false;
        source.removed.insert(i.guid);
        return true;
      });
    }
  }

  void signal() {
    if (items_.empty()) return;
    const int u = pick(3);
    ModelItem& item = items_[pick(static_cast<int>(items_.size()))];
    const Signal signal{.id = fmt::format("s{}", pick(40)), .item = item.id, .kind = static_cast<SignalKind>(pick(7)), .at = now_, .dwell_seconds = 3.5};
    const auto done = store_->write([&](Writer& w) { return w.add_signal(users_[u], signal); });
    auto& seen = signals_[u];
    if (seen.contains(signal.id)) {
      ASSERT_FALSE(OK(done));
    } else if (!item.member.contains(u)) {
      ASSERT_EQ(done.error().code, Code::not_found);
    } else {
      ASSERT_TRUE(OK(done));
      seen.insert(signal.id);
      if (signal.kind == SignalKind::open || signal.kind == SignalKind::finish) item.unread.erase(u);
      if (signal.kind == SignalKind::star) item.starred.insert(u);
    }
    ASSERT_EQ(OK(store_->reader()->signals(users_[u], 1000)).size(), seen.size());
  }

  void list(int u) {
    ItemQuery query{.order = pick(2) ? Order::newest : Order::oldest,
                    .state = static_cast<ReadState>(pick(4)),
                    .limit = static_cast<std::size_t>(1 + pick(30)),
                    .bodies = pick(2) == 0};
    const int s = pick(5);
    if (pick(3) == 0) query.source = sources_[s].id;
    else if (pick(2) == 0) query.folder = fmt::format("folder{}", pick(2));
    if (pick(3) == 0) query.after = now_ - hours(pick(100));
    if (pick(4) == 0) query.before = now_ - hours(pick(50));
    std::vector<std::string> wanted;
    if (indexed_ && pick(3) == 0) {
      for (int i = 0, n = 1 + pick(2); i < n; ++i) wanted.push_back(words[pick(static_cast<int>(words.size()))]);
      for (const auto& w : wanted) query.text += w + " ";
    }
    bool any = !query.source && !query.folder;
    for (const auto& source : sources_)
      any = any || (source.readers.contains(u) && (source.id == query.source || (query.folder && source.readers.at(u).folder == *query.folder)));
    if (!any) {
      ASSERT_EQ(store_->reader()->items(users_[u], query).error().code, Code::not_found);
      return;
    }
    std::vector<const ModelItem*> expected;
    for (const auto& i : items_) {
      if (!i.member.contains(u)) continue;
      if (query.source && sources_[i.source].id != query.source) continue;
      if (query.folder && sources_[i.source].readers.at(u).folder != *query.folder) continue;
      if (query.state == ReadState::unread && !i.unread.contains(u)) continue;
      if (query.state == ReadState::read && i.unread.contains(u)) continue;
      if (query.state == ReadState::starred && !i.starred.contains(u)) continue;
      if ((query.after && i.changed < *query.after) || (query.before && i.changed >= *query.before)) continue;
      if (std::ranges::any_of(wanted, [&](const std::string& w) { return (i.title + i.text).find(w) == std::string::npos; })) continue;
      expected.push_back(&i);
    }
    std::ranges::sort(expected, {}, [](const ModelItem* i) { return i->place; });
    if (query.order == Order::newest) std::ranges::reverse(expected);
    std::vector<StoredItem> got;
    do {
      auto page = OK(store_->reader()->items(users_[u], query));
      ASSERT_TRUE(!page.items.empty() || page.cursor.empty());
      ASSERT_LE(page.items.size(), query.limit);
      const auto ids = OK(store_->reader()->ids(users_[u], query));
      ASSERT_EQ(ids.items.size(), page.items.size());
      for (std::size_t i = 0; i < ids.items.size(); ++i) ASSERT_EQ(ids.items[i].id, page.items[i].id);
      for (auto& i : page.items) got.push_back(std::move(i));
      query.cursor = page.cursor;
    } while (!query.cursor.empty());
    ASSERT_EQ(got.size(), expected.size()) << query.text;
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].id, expected[i]->id);
      ASSERT_EQ(got[i].item.title, expected[i]->title);
      ASSERT_EQ(got[i].item.content_html, query.bodies ? expected[i]->text : "");
      ASSERT_EQ(got[i].at, expected[i]->at);
      ASSERT_EQ(got[i].changed, expected[i]->changed);
      ASSERT_EQ(got[i].read, !expected[i]->unread.contains(u));
      ASSERT_EQ(got[i].starred, expected[i]->starred.contains(u));
    }
  }

  std::mt19937 random_;
  TempStore store_;
  Time now_ = start;
  std::vector<UserId> users_;
  std::vector<ModelSource> sources_;
  std::vector<ModelItem> items_;
  std::map<int, std::set<std::string>> signals_;
  int arrivals_ = 0;
  bool indexed_ = true;
};

TEST(Store, BehavesAsAPlainModel) {
  const int rounds = std::getenv("WEIR_LONG") != nullptr ? 200 : 6;
  for (int seed = 1; seed <= rounds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Model model(static_cast<unsigned>(seed), "model");
    for (int i = 0; i < 300; ++i) {
      model.step();
      if (i % 3 == 0) model.compare();
      if (::testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << " step " << i;
    }
  }
}

// ---- statements ---------------------------------------------------------------------------------------------------------------------------------

// Every statement that any connection of this process runs, from here on; also those that FTS5 runs inside.
class Statements {
 public:
  static Statements& all() {
    static Statements statements;
    return statements;
  }
  std::set<std::string> seen() {
    const std::scoped_lock lock(mutex_);
    return seen_;
  }

 private:
  Statements() { sqlite3_auto_extension(reinterpret_cast<void (*)()>(&watch)); }
  static int watch(sqlite3* db, char**, const void*) {
    return sqlite3_trace_v2(
        db, SQLITE_TRACE_STMT,
        [](unsigned, void*, void* statement, void*) {
          if (const char* sql = sqlite3_sql(static_cast<sqlite3_stmt*>(statement)); sql != nullptr) {
            const std::scoped_lock lock(all().mutex_);
            all().seen_.insert(sql);
          }
          return 0;
        },
        nullptr);
  }
  std::mutex mutex_;
  std::set<std::string> seen_;
};

// What the model does not do.
void do_everything_else(TempStore& t) {
  const UserId ada = OK(t->write([](Writer& w) { return w.add_user("ada", start); })), bo = OK(t->write([](Writer& w) { return w.add_user("bo", start); }));
  const Sha256 secret = sha256("secret");
  OK(t->write([&](Writer& w) -> Status {
    TRY(w.set_password_hash(ada, "hash"));
    TRY(w.set_settings(ada, {{"keep_days", 30}}));
    TRY(w.add_sign_in_link(ada, secret, start + hours(1)));
    TRY(w.use_sign_in_link(secret, start));
    TRY(w.add_session({.token = secret, .user = ada, .created_at = start, .seen_at = start, .idle_until = start + hours(1), .ends_at = start + hours(2)}));
    TRY(w.touch_session(secret, start, start + hours(1)));
    const auto token = TRY(w.add_token({.id = 0, .user = ada, .source = {}, .name = "t", .created_at = start, .last_used_at = {}}, secret));
    TRY(w.touch_token(token, start));
    TRY(w.revoke_token(ada, token));
    TRY(w.set_value("key", "value"));
    return w.set_value("key", "");
  }));
  (void)t->reader()->session(secret, start);
  (void)t->reader()->token(1, secret);
  OK(t->write([&](Writer& w) -> Status {
    TRY(w.end_session(secret));
    return w.end_sessions(ada);
  }));
  const SourceId feed = OK(t->write([&](Writer& w) { return w.add_feed("https://e.example/", start); }));
  const SourceId pushed = OK(t->write([&](Writer& w) { return w.add_push(ada, "mine"); }));
  std::vector<NewItem> items;
  for (int i = 0; i < 1'700; ++i) items.push_back(item_of(fmt::format("i{}", i), "a title", fmt::format("<p>words of item {} and others, {}</p>", i, i * 7)));
  for (NewItem& one : items) one.verdict.policy = 1;
  OK(t->write([&](Writer& w) { return w.subscribe(ada, feed, "", "f"); }));
  FetchOutcome first = outcome_of(feed, start, items);
  first.url = "https://e.example/moved";
  first.wishes = PollWishes{.ttl = std::chrono::seconds(60), .skip_hours = 1, .skip_days = 1};
  const auto ids = OK(t->write([&](Writer& w) { return w.commit_fetch(first); })).stored_ids;
  first.items.resize(2);
  first.items[0].verdict.policy = 2;  // newer rules, the same text
  first.items[1].item.content_html = "<p>changed</p>";
  OK(t->write([&](Writer& w) { return w.commit_fetch(first); }));
  OK(t->write([&](Writer& w) { return w.set_verdict(ids[5], {.action = {}, .findings = {}, .policy = 3}, start); }));
  OK(t->push(outcome_of(pushed, start, {item_of("p", "p", "p")})));
  t.index_all();
  (void)OK(t->train_dictionaries());
  OK(t->push(outcome_of(pushed, start, {item_of("q", "q", "q")})));  // with a dictionary
  OK(t->write([&](Writer& w) -> Status {
    TRY(w.edit_subscription(ada, feed, "title", "g", std::optional(std::optional<std::int32_t>(9))));
    TRY(w.rename_folder(ada, "g", "h"));
    TRY(w.move_feed(ada, feed, "https://e.example/again"));
    TRY(w.set_next(feed, start));
    TRY(w.set_icon(feed, "image/png", "x"));
    TRY(w.set_icon(pushed, "image/png", "x"));
    TRY(w.set_icon(pushed, "", ""));
    TRY(w.put_vectors("old", std::vector{std::pair{ids[0], std::string("v")}, std::pair{ids[0], std::string("w")}}));
    TRY(w.put_vectors("new", std::vector{std::pair{ids[0], std::string("v")}}));
    TRY(w.queue_missing_vectors("new", {}, 50));
    while (TRY(w.forget_vectors_but("new", 10))) {}
    auto work = TRY(w.lease(Stage::encode, 3, start, hours(1)));
    TRY(w.give_back(Stage::encode, work, "broken", start));
    work = TRY(w.lease(Stage::encode, 3, start, hours(1)));
    TRY(w.complete(Stage::encode, std::span(work).first(1)));
    TRY(w.lease(Stage::encode, 3, start + hours(2), hours(1), 1));  // given up
    TRY(w.queue_missing_vectors("new", {}, 5'000));
    return {};
  }));
  {
    auto reader = t->reader();
    OK(reader->users());
    OK(reader->user(ada));
    OK(reader->password_hash(ada));
    OK(reader->tokens(ada));
    OK(reader->source(feed));
    OK(reader->due(start + hours(9), 5));
    OK(reader->next_due());
    OK(reader->published(feed, 5));
    OK(reader->icon(ada, feed));
    OK(reader->sources_of(ada));
    OK(reader->readers_of(feed));
    OK(reader->owner_of(pushed));
    OK(reader->arrivals(ada, start - hours(5)));
    OK(reader->vectors("new", ids));
    OK(reader->vector_count("new"));
    OK(reader->work_items(ids));
    OK(reader->work(Stage::encode));
    OK(reader->value("key"));
    OK(reader->sizes());
    OK(reader->signal_count(ada));
    for (const char* text : {"words", "\"words of\"", "\"and others\" title", "item*"})
      for (const Order order : {Order::newest, Order::oldest, Order::relevance}) OK(reader->items(ada, {.order = order, .text = text}));
  }
  OK(t->write([&](Writer& w) -> Status {
    TRY(w.subscribe(bo, feed, "", ""));
    TRY(w.mark(bo, ids, Mark::star));
    TRY(w.add_signal(bo, {.id = "s", .item = ids[3], .kind = SignalKind::open, .at = start, .dwell_seconds = {}}));
    TRY(w.forget_signals(bo));
    TRY(w.unsubscribe(bo, feed));
    while (TRY(w.forget_stars())) {}
    TRY(w.remove_user(bo));
    EXPECT_EQ(w.remove_user(ada).error().code, Code::refused);  // the last operator
    TRY(w.unsubscribe(ada, pushed));
    TRY(w.unsubscribe(ada, feed));
    return {};
  }));
  while (OK(t->write([](Writer& w) { return w.purge(start + hours(24 * 400), 500); }))) {}
  OK(t->backup(t.dir / "backup"));
  const auto dir = crashed("statements-log", "ann"), begun = fresh_dir("statements-begun");
  EXPECT_EQ(first_user(dir), "ann");
  std::filesystem::create_directories(begun);
  (void)OK(Connection::open(begun / "weir.db", Access::write));  // a first start that ended before its first table
  EXPECT_EQ(first_user(begun), "");
  for (const auto& each : {dir, begun}) std::filesystem::remove_all(each);
}

// Statements that go through a whole table, walk an index from its end, or add rows up: each with why its work does not grow with the archive.
struct Exception {
  const char* begins;
  const char* why;
};
constexpr Exception exceptions[] = {
    {"SELECT id FROM items INDEXED BY items_id ORDER BY id LIMIT 1", "the first entry of an index"},
    {"SELECT dict, z FROM bodies ORDER BY place DESC LIMIT ?", "the last entries of a table, for training: not a request"},
    {"SELECT user, source FROM left_stars LIMIT 1", "the first row"},
    {"SELECT received FROM items ORDER BY place DESC LIMIT 1", "the last row"},
    {"SELECT id FROM users LIMIT 1", "the first row"},
    {"SELECT id, name, operator, password<>'', created, settings FROM users", "all users are what is asked for"},
    {"SELECT 1 FROM users WHERE operator", "users, when one is removed"},
    {"SELECT count(*) FROM users", "users, for doctor and metrics"},
    {"SELECT count(*) FROM sources", "sources, for doctor and metrics"},
    {"SELECT sum(unread) FROM subscriptions WHERE user=?", "one reader's stored counters"},
    {"SELECT u.id, s.source, s.keep", "subscriptions, for retention: not a request"},
    {"SELECT id FROM sources s WHERE (next IS NULL", "sources, for retention: not a request"},
    {"UPDATE sources SET next=NULL WHERE next IS NOT NULL", "sources, when a user is removed"},
    {"DELETE FROM links", "sign-in links: few, and gone when used"},
    {"DELETE FROM tokens WHERE source=?", "tokens: few; when a source goes for good"},
    {"SELECT id FROM models", "models: one or two"},
    {"SELECT script, max(id) FROM dicts", "dictionaries: one or two"},
    {"UPDATE users SET signals=(SELECT count(*)", "migration 3, once"},
    {"UPDATE subscriptions SET starred=c.n", "migration 3, once"},
    {"SELECT k, v FROM 'main'.'f", "FTS5's own settings"},
};

// A plan's line that looks at a table from one end to the other.
bool scans(std::string_view line) {
  if (!line.starts_with("SCAN") || line.ends_with("VALUES CLAUSE") || line == "SCAN CONSTANT ROW") return false;
  const auto index = line.find("VIRTUAL TABLE INDEX");  // FTS5 calls it so; M: by words, =: by rowid
  return index == std::string_view::npos || line.substr(index).find_first_of("M=") == std::string_view::npos;
}

TEST(Statements, NoneGoesThroughATableThatGrows) {
  (void)Statements::all();
  {
    Model model(99, "statements-model");
    for (int i = 0; i < 400; ++i) {
      model.step();
      if (i % 5 == 0) model.compare();
    }
  }
  TempStore t("statements", {.piece = 100});
  do_everything_else(t);
  const auto db = OK(Connection::open(t.dir / "weir.db", Access::write));
  sqlite3_db_config(db->handle(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);  // FTS5's writes can be explained
  int explained = 0;
  std::set<std::string> used;
  for (const std::string& sql : Statements::all().seen()) {
    static constexpr std::string_view verbs[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE"};
    const bool asks = std::ranges::any_of(verbs, [&](std::string_view verb) { return sql.starts_with(verb); });
    if (!asks || sql.find("sqlite_") != std::string::npos) continue;  // tables being made, SQLite's own
    if (const auto found = std::ranges::find_if(exceptions, [&](const Exception& one) { return sql.starts_with(one.begins); }); found != std::end(exceptions)) {
      used.insert(found->begins);
      continue;
    }
    sqlite3_stmt* plan = nullptr;
    if (sqlite3_prepare_v2(db->handle(), ("EXPLAIN QUERY PLAN " + sql).c_str(), -1, &plan, nullptr) != SQLITE_OK) {
      ADD_FAILURE() << sql << ": " << sqlite3_errmsg(db->handle());
      continue;
    }
    ++explained;
    while (sqlite3_step(plan) == SQLITE_ROW) {
      const std::string line = reinterpret_cast<const char*>(sqlite3_column_text(plan, 3));
      EXPECT_FALSE(scans(line)) << sql << "\n  " << line;
    }
    sqlite3_finalize(plan);
    for (const char* sum : {"count(*)", "sum(", "GROUP BY"}) EXPECT_EQ(sql.find(sum), std::string::npos) << "counts what could be stored: " << sql;
  }
  EXPECT_GT(explained, 150);
  for (const Exception& one : exceptions) EXPECT_TRUE(used.contains(one.begins)) << "no exception is needed any more: " << one.begins;

  // Nothing was left out: each statement that stands in the sources was run.
  const auto sources = std::filesystem::path(WEIR_SOURCE_DIR) / "src/store";
  ASSERT_TRUE(std::filesystem::exists(sources / "lists.cc"));
  const auto seen = Statements::all().seen();
  for (const auto& entry : std::filesystem::directory_iterator(sources)) {
    if (entry.path().extension() != ".cc" || entry.path().stem().string().ends_with("_test")) continue;
    const std::string text = OK(read_file(entry.path()));
    for (const std::string_view verb : {"\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE "})
      for (std::size_t at = text.find(verb); at != std::string::npos; at = text.find(verb, at + 1)) {
        const std::string literal = text.substr(at + 1, text.find('"', at + 1) - at - 1);
        EXPECT_TRUE(std::ranges::any_of(seen, [&](const std::string& sql) { return sql.starts_with(literal); }))
            << entry.path().filename() << ": never run: " << literal;
      }
  }
}

}  // namespace
}  // namespace weir::store
