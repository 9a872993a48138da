#include "engine/accounts.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "base/hash.h"
#include "store/store.h"

namespace weir {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

class AccountsTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / ("weir-accounts-" + to_hex(random_bytes(6)));
    auto store = store::Store::open(dir_);
    ASSERT_TRUE(store) << store.error().text();
    store_ = std::move(*store);
    accounts_ = std::make_unique<Accounts>(*store_, clock_);
    user_ = accounts_->add_user("ann")->id;
    ASSERT_TRUE(accounts_->set_password(user_, "ann's own word"));
  }
  void TearDown() override {
    accounts_.reset();
    store_.reset();
    std::filesystem::remove_all(dir_);
  }
  Accounts::Session signed_in() { return accounts_->sign_in("ann", "ann's own word", "9.9.9.9").value(); }

  std::filesystem::path dir_;
  ManualClock clock_{from_micros(1'700'000'000'000'000)};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Accounts> accounts_;
  UserId user_;
};

TEST_F(AccountsTest, NamesAndPasswords) {
  for (const auto* bad : {"", " ann", "a:b", "a/b", "a\nb", "\xff"}) EXPECT_EQ(accounts_->add_user(bad).error().code, Code::invalid) << bad;
  EXPECT_EQ(accounts_->add_user("ann").error().code, Code::exists);
  EXPECT_TRUE(accounts_->add_user("安"));
  EXPECT_TRUE(accounts_->user(user_)->is_operator);
  EXPECT_FALSE(accounts_->user_named("安")->is_operator);
  EXPECT_EQ(accounts_->set_password(user_, "short").error().code, Code::invalid);
  EXPECT_EQ(accounts_->set_password(user_, std::string(1025, 'x')).error().code, Code::invalid);
  EXPECT_TRUE(store_->reader()->password_hash(user_)->starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
}

TEST_F(AccountsTest, SessionIsKeptAsItsHashOnly) {
  const auto session = signed_in();
  EXPECT_EQ(session.secret.size(), 43U);
  const auto proof = accounts_->session(session.secret);
  ASSERT_TRUE(proof);
  EXPECT_EQ(proof->who.user, user_);
  EXPECT_EQ(proof->who.scope, Scope::operator_);
  EXPECT_TRUE(store_->reader()->session(sha256(session.secret), clock_.now()));
  EXPECT_EQ(proof->credential.key.find(session.secret), std::string::npos);
  for (const auto& bad : {session.secret + "x", std::string(), std::string(43, 'x')}) EXPECT_EQ(accounts_->session(bad).error().code, Code::unauthorised);
}

TEST_F(AccountsTest, SessionEndsWhenIdle) {
  const auto session = signed_in();
  for (int day = 0; day < 30; ++day) {  // used each day: it goes on
    clock_.advance(hours(24));
    ASSERT_TRUE(accounts_->session(session.secret)) << day;
  }
  clock_.advance(hours(24 * 14 + 2));
  EXPECT_EQ(accounts_->session(session.secret).error().code, Code::unauthorised);
  EXPECT_FALSE(accounts_->holds(session.proof.credential));
}

TEST_F(AccountsTest, SessionEndsAfterNinetyDaysHoweverMuchItIsUsed) {
  const auto session = signed_in();
  for (int day = 0; day < 89; ++day) {
    clock_.advance(hours(24));
    ASSERT_TRUE(accounts_->session(session.secret)) << day;
  }
  clock_.advance(hours(25));
  EXPECT_EQ(accounts_->session(session.secret).error().code, Code::unauthorised);
}

TEST_F(AccountsTest, EndingTellsAtOnce) {
  int told = 0;
  accounts_->on_end([&] { ++told; });
  const auto one = signed_in(), two = signed_in();
  EXPECT_TRUE(accounts_->sign_out(one.proof.credential));
  EXPECT_FALSE(accounts_->holds(one.proof.credential));
  EXPECT_TRUE(accounts_->holds(two.proof.credential));
  EXPECT_TRUE(accounts_->set_password(user_, "another word"));
  EXPECT_FALSE(accounts_->holds(two.proof.credential));
  EXPECT_EQ(told, 2);
  accounts_->on_end({});
}

TEST_F(AccountsTest, LinkIsGoodOnceAndForADay) {
  const auto code = accounts_->new_link(user_);
  ASSERT_TRUE(code);
  EXPECT_TRUE(accounts_->sign_in_by_link(*code, "1.1.1.1"));
  EXPECT_EQ(accounts_->sign_in_by_link(*code, "1.1.1.1").error().error.code, Code::unauthorised);
  const auto late = accounts_->new_link(user_);
  clock_.advance(hours(24) + seconds(1));
  EXPECT_EQ(accounts_->sign_in_by_link(*late, "1.1.1.1").error().error.code, Code::unauthorised);
}

TEST_F(AccountsTest, TokensHaveAFormThatChecksItself) {
  const auto made = accounts_->new_token(user_, Scope::read, {}, "phone");
  ASSERT_TRUE(made);
  const auto proof = accounts_->token(made->text);
  ASSERT_TRUE(proof);
  EXPECT_EQ(proof->who.scope, Scope::read);
  EXPECT_TRUE(accounts_->holds(proof->credential));
  for (std::size_t at = 0; at < made->text.size(); ++at) {  // any one character changed
    std::string other = made->text;
    other[at] = other[at] == 'a' ? 'b' : 'a';
    EXPECT_FALSE(accounts_->token(other)) << at;
  }
  for (const auto* bad : {"", "weir_", "weir__", "weir_1_", "weir_-1_x"}) EXPECT_EQ(accounts_->token(bad).error().code, Code::unauthorised);
  EXPECT_TRUE(accounts_->tokens(user_)->front().last_used_at);
  EXPECT_TRUE(accounts_->remove_token(user_, made->token.id));
  EXPECT_FALSE(accounts_->token(made->text));
  EXPECT_FALSE(accounts_->holds(proof->credential));
}

TEST_F(AccountsTest, TokensOfOthersAndOfSources) {
  const UserId bob = accounts_->add_user("bob")->id;
  EXPECT_EQ(accounts_->new_token(bob, Scope::operator_, {}, "").error().code, Code::forbidden);
  EXPECT_EQ(accounts_->new_token(bob, Scope::ingest, SourceId{1}, "").error().code, Code::not_found);
  const auto source = store_->write([&](store::Writer& writer) { return writer.add_push(bob, "sensor"); });
  ASSERT_TRUE(source);
  EXPECT_EQ(accounts_->new_token(user_, Scope::ingest, *source, "").error().code, Code::not_found) << "not the operator's either";
  EXPECT_EQ(accounts_->new_token(bob, Scope::read, *source, "").error().code, Code::invalid);
  const auto made = accounts_->new_token(bob, Scope::ingest, *source, "");
  ASSERT_TRUE(made);
  const Principal who = accounts_->token(made->text)->who;
  EXPECT_TRUE(who.may_push(*source));
  EXPECT_FALSE(who.may_push(SourceId{source->value + 1}) || who.may_read() || who.may_write());
  EXPECT_EQ(accounts_->remove_token(user_, made->token.id).error().code, Code::not_found);
}

TEST_F(AccountsTest, TriesAreCountedByNameAndByAddress) {
  const auto code = [&](std::string_view name, std::string_view address) {
    const auto session = accounts_->sign_in(name, "wrong", address);
    return session.error().error.code;
  };
  for (int i = 0; i < 10; ++i) EXPECT_EQ(code("ann", "10.0.0." + std::to_string(i)), Code::unauthorised);
  const auto refused = accounts_->sign_in("ann", "ann's own word", "10.0.0.99");
  EXPECT_EQ(refused.error().error.code, Code::refused) << "the right word too: else trying goes on";
  EXPECT_GT(refused.error().wait, seconds(0));
  clock_.advance(refused.error().wait);
  EXPECT_TRUE(accounts_->sign_in("ann", "ann's own word", "10.0.0.99"));

  for (int i = 0; i < 20; ++i) EXPECT_EQ(code("nobody " + std::to_string(i), "2001:db8:1:2::" + std::to_string(i)), Code::unauthorised);
  EXPECT_EQ(code("bob", "2001:db8:1:2::ffff"), Code::refused) << "one customer's network is one";
  EXPECT_EQ(code("bob", "2001:db8:1:3::1"), Code::unauthorised);
}

TEST_F(AccountsTest, SuccessIsNoTry) {
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(accounts_->sign_in("ann", "ann's own word", "10.0.0.1")) << i;
}

TEST_F(AccountsTest, SecretsDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) seen.insert(*accounts_->new_link(user_));
  EXPECT_EQ(seen.size(), 200U);
}

}  // namespace
}  // namespace weir
