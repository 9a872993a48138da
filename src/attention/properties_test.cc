// What every form of attention promises, each on a thousand random problems (shapes of 1, odd sizes, far more keys than queries among them): the table of
// forms() says which promise is whose. In f64, where rounding leaves no excuse; at the end f32 against f64.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <limits>
#include <thread>

#include "attention/cases_test.h"
#include "attention/normalise.h"

namespace weir::attention {
namespace {

using Property = std::function<void(const FormRow&, std::uint64_t seed)>;

// Every form for which `holds` is true, `repeats` problems each; stops at the first that fails.
void for_all(const std::function<bool(const FormRow&)>& holds, const Property& property, std::size_t times = repeats) {
  bool any = false;
  for (const FormRow& row : forms()) {
    if (!holds(row)) continue;
    any = true;
    for (std::uint64_t seed = 1; seed <= times; ++seed) {
      SCOPED_TRACE(fmt::format("{} seed {}", row.name, seed));
      property(row, seed);
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_TRUE(any);
}

template <class T>
double greatest(const std::vector<T>& x) {
  double most = 0;
  for (const T v : x) most = std::max(most, std::fabs(static_cast<double>(v)));
  return most;
}

template <class T, class U>
void expect_near(const std::vector<T>& a, const std::vector<U>& b, double tolerance, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  const double bound = tolerance * std::max(1.0, greatest(b));
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(static_cast<double>(a[i]), static_cast<double>(b[i]), bound) << what << " at " << i;
}

// wv and wo of multi_head as identities, so that its outcomes, too, are mixtures of columns of v.
void mix_plainly(Case<double>& c) {
  if (c.settings.form != Form::multi_head) return;
  for (auto& p : c.parameters) {
    if (p.name == "wv.bias" || p.name == "wo.bias") std::ranges::fill(p.value.values, 0.0);
    if (p.name != "wv" && p.name != "wo") continue;
    std::ranges::fill(p.value.values, 0.0);
    for (std::size_t i = 0; i < p.value.rows; ++i) p.value.row(i)[i] = 1;
  }
}

TEST(Properties, WeightsAreAProbability) {
  for_all([](const FormRow& r) { return r.mixture; },
          [](const FormRow& row, std::uint64_t seed) {
            const Case<double> c = draw(row, seed);
            const Output<double> o = run(c);
            const std::size_t queries = c.queries();
            ASSERT_EQ(o.weights.rows, c.heads() * queries);
            for (std::size_t r = 0; r < o.weights.rows; ++r) {
              double sum = 0;
              for (std::size_t j = 0; j < c.k.rows; ++j) {
                const double w = o.weights.row(r)[j];
                ASSERT_GE(w, 0) << c.text();
                if (!c.sees(r % queries, j)) { ASSERT_EQ(w, 0) << c.text(); }
                sum += w;
              }
              if (!c.sees_any(r % queries)) {
                ASSERT_EQ(sum, 0) << c.text();
              } else if (c.settings.normaliser != Normaliser::sigmoid) {
                ASSERT_NEAR(sum, 1, 1e-12) << c.text();
              }
            }
          });
}

TEST(Properties, OutcomesAreWeightsTimesValues) {  // and so in the convex hull, coordinate by coordinate
  for_all([](const FormRow& r) { return r.mixture; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed);
            mix_plainly(c);
            const Output<double> o = run(c);
            for (std::size_t h = 0; h < c.heads(); ++h)
              for (std::size_t i = 0; i < c.queries(); ++i)
                for (std::size_t x = 0; x < c.value(); ++x) {
                  double sum = 0, low = std::numeric_limits<double>::infinity(), high = -low;
                  for (std::size_t j = 0; j < c.k.rows; ++j) {
                    if (!c.sees(i, j)) continue;
                    const double v = c.value_at(h, j, x);
                    sum += o.weights.row(h * c.queries() + i)[j] * v;
                    low = std::min(low, v);
                    high = std::max(high, v);
                  }
                  const double found = c.out_at(o, h, i, x);
                  ASSERT_NEAR(found, sum, 1e-11) << c.text();
                  if (low > high || c.settings.normaliser == Normaliser::sigmoid) continue;
                  ASSERT_GE(found, low - 1e-11) << c.text();
                  ASSERT_LE(found, high + 1e-11) << c.text();
                }
          });
}

TEST(Properties, ConstantValuesPassThrough) {
  for_all([](const FormRow& r) { return r.mixture; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed, {.implied_values = false});
            if (c.settings.normaliser == Normaliser::sigmoid) return;
            mix_plainly(c);
            for (std::size_t j = 1; j < c.v.rows; ++j) std::ranges::copy(c.v.row(0), c.v.row(j).data());
            const Output<double> o = run(c);
            for (std::size_t h = 0; h < c.heads(); ++h)
              for (std::size_t i = 0; i < c.queries(); ++i)
                for (std::size_t x = 0; x < c.value(); ++x) ASSERT_NEAR(c.out_at(o, h, i, x), c.sees_any(i) ? c.value_at(h, 0, x) : 0, 1e-11) << c.text();
          });
}

TEST(Properties, ShiftedLogitsChangeNothing) {
  for_all([](const FormRow& r) { return r.logits; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed);
            if (c.settings.normaliser == Normaliser::sigmoid) return;
            if (c.bias.columns == 0) c.bias = Array<double>(c.queries(), c.k.rows);
            const Output<double> o = run(c);
            Draw d{seed};
            for (std::size_t i = 0; i < c.bias.rows; ++i) {
              const double shift = 3 * d.normal();
              for (double& b : c.bias.row(i)) b += shift;
            }
            ASSERT_NO_FATAL_FAILURE(expect_near(run(c).out.values, o.out.values, 1e-8, c.text()));
          });
}

TEST(Properties, WeightsChangeByHalfOfTheirLogits) {  // at most; the sparse ones' by all of it; top-k's jump
  for_all([](const FormRow& r) { return r.logits; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed, {.target = false, .normalisers = false});
            c.settings.normaliser = std::array{Normaliser::softmax, Normaliser::sparsemax, Normaliser::entmax15, Normaliser::sigmoid}[seed % 4];
            const bool sparse = c.settings.normaliser == Normaliser::sparsemax || c.settings.normaliser == Normaliser::entmax15;
            if (c.bias.columns == 0) c.bias = Array<double>(c.queries(), c.k.rows);
            const Output<double> before = run(c);
            Draw d{seed};
            const double far = std::pow(10, -3 + 4 * d.unit());
            const Array<double> moved = d.array(c.bias.rows, c.bias.columns);
            add_scaled(std::span(c.bias.values), far, moved.values.data());
            const Output<double> after = run(c);
            for (std::size_t r = 0; r < before.weights.rows; ++r) {
              double weights = 0, logits = 0;
              for (std::size_t j = 0; j < c.k.rows; ++j) {
                weights += std::pow(after.weights.row(r)[j] - before.weights.row(r)[j], 2);
                logits += std::pow(far * moved.row(r % c.queries())[j] / c.settings.temperature, 2);
              }
              ASSERT_LE(std::sqrt(weights), (sparse ? 1 : 0.5) * std::sqrt(logits) + 1e-12) << c.text();
            }
          });
}

// Positions tell distances alone: the same keys and queries, all of them later by some places that nobody sees.
TEST(Properties, OnlyDistancesCount) {
  for_all([](const FormRow& r) { return r.causal; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed, {.target = false});
            c.mask.globals = c.mask.block = 0;  // they say where, not how far
            Draw d{seed};
            const std::size_t later = d.from(1, 20), keys = c.k.rows, queries = c.q.rows;
            std::vector<std::size_t> moved_keys(later, 0), moved_queries(later, 0);
            for (std::size_t j = 0; j < keys; ++j) moved_keys.push_back(j);
            for (std::size_t i = 0; i < queries; ++i) moved_queries.push_back(i);
            Case<double> moved = c;
            if (moved.keys.empty()) moved.keys.assign(keys, 1);
            moved = keys_of(moved, moved_keys);
            std::fill_n(moved.keys.begin(), later, std::uint8_t{0});
            moved.q = rows_of(c.q, moved_queries);
            if (c.bias.columns != 0) moved.bias = rows_of(moved.bias, moved_queries);
            if (c.pairs.columns != 0) moved.pairs = rows_of(moved.pairs, moved_queries);
            const Array<double> found = run(moved).out;
            ASSERT_NO_FATAL_FAILURE(expect_near(std::vector(found.values.begin() + static_cast<std::ptrdiff_t>(later * found.columns), found.values.end()),
                                                run(c).out.values, 1e-9, c.text()));
          });
}

std::vector<std::size_t> shuffled(std::size_t n, std::uint64_t seed) {
  std::vector<std::size_t> order = count_to(n);
  Draw d{seed};
  for (std::size_t i = n; i > 1; --i) std::swap(order[i - 1], order[d.from(0, i - 1)]);
  return order;
}

TEST(Properties, OrderOfKeysDoesNotMatter) {
  for_all([](const FormRow& r) { return r.mixture; },
          [](const FormRow& row, std::uint64_t seed) {
            const Case<double> c = draw(row, seed, {.position = false, .order = false});
            const std::vector<std::size_t> order = shuffled(c.k.rows, seed);
            const Output<double> a = run(c), b = run(keys_of(c, order));
            ASSERT_NO_FATAL_FAILURE(expect_near(b.out.values, a.out.values, 1e-9, c.text()));
            ASSERT_NO_FATAL_FAILURE(expect_near(b.weights.values, columns_of(a.weights, order).values, 1e-9, c.text()));
          });
}

TEST(Properties, OutcomesFollowTheOrderOfQueries) {
  for_all([](const FormRow& r) { return r.has_query; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed, {.position = false, .order = false});
            const std::vector<std::size_t> order = shuffled(c.q.rows, seed);
            const Output<double> a = run(c);
            if (row.form == Form::fastformer) c = keys_of(c, order);  // its positions are one
            c.q = rows_of(c.q, order);
            if (c.bias.columns != 0) c.bias = rows_of(c.bias, order);
            ASSERT_NO_FATAL_FAILURE(expect_near(run(c).out.values, rows_of(a.out, order).values, 1e-10, c.text()));
          });
}

// What Mask::keys hides may hold anything, NaN too, and its gradients are zero to the bit.
template <class T>
void masked_keys_are_not_there(Case<T> c, std::uint64_t seed) {
  Draw d{seed};
  if (c.keys.empty()) c.keys.assign(c.k.rows, 1);
  c.keys[d.from(0, c.k.rows - 1)] = 0;
  const bool all = d.one_in(20);
  if (all) std::ranges::fill(c.keys, std::uint8_t{0});
  const bool weights = d.one_in(2);
  const Output<T> o = run(c, weights);
  if (all && c.settings.form != Form::multi_head) { ASSERT_EQ(greatest(o.out.values), 0) << c.text(); }
  const Array<T> d_out = as<T>(d.array(o.out.rows, o.out.columns));
  const Gradients<T> g = run_back(c, o, d_out);
  if (all) {
    for (const auto* x : {&g.q, &g.k, &g.v, &g.bias}) ASSERT_EQ(greatest(x->values), 0) << c.text();
    for (const auto& p : g.parameters)
      if (p.name != "wo.bias") { ASSERT_EQ(greatest(p.value.values), 0) << p.name << c.text(); }
  }
  Case<T> other = c;
  for (std::size_t j = 0; j < c.k.rows; ++j) {
    if (c.keys[j] != 0) continue;
    const T anything = d.one_in(2) ? std::numeric_limits<T>::quiet_NaN() : d.one_in(2) ? std::numeric_limits<T>::infinity() : T{1e9};
    std::ranges::fill(other.k.row(j), anything);
    if (other.v.columns != 0) std::ranges::fill(other.v.row(j), anything);
    if (!other.age.empty()) other.age[j] = anything;
    if (!other.importance.empty()) other.importance[j] = anything;
    for (std::size_t i = 0; i < other.bias.rows; ++i) other.bias.row(i)[j] = anything;
    for (std::size_t r = 0; r < o.weights.rows; ++r) ASSERT_EQ(o.weights.row(r)[j], 0) << c.text();
    for (const T x : g.k.row(j)) ASSERT_EQ(x, 0) << c.text();
    if (g.v.columns != 0) {
      for (const T x : g.v.row(j)) ASSERT_EQ(x, 0) << c.text();
    }
    for (std::size_t i = 0; i < g.bias.rows; ++i) ASSERT_EQ(g.bias.row(i)[j], 0) << c.text();
    if (!g.age.empty()) { ASSERT_EQ(g.age[j], 0) << c.text(); }
    if (!g.importance.empty()) { ASSERT_EQ(g.importance[j], 0) << c.text(); }
  }
  const Output<T> again = run(other, weights);
  ASSERT_EQ(again.out.values, o.out.values) << c.text();
  ASSERT_EQ(again.weights.values, o.weights.values) << c.text();
  const Gradients<T> h = run_back(other, o, d_out);
  ASSERT_EQ(h.q.values, g.q.values) << c.text();
  ASSERT_EQ(h.k.values, g.k.values) << c.text();
  ASSERT_EQ(h.v.values, g.v.values) << c.text();
  ASSERT_EQ(h.bias.values, g.bias.values) << c.text();
  for (std::size_t p = 0; p < g.parameters.size(); ++p) ASSERT_EQ(h.parameters[p].value.values, g.parameters[p].value.values) << c.text();
}

TEST(Properties, MaskedKeysAreNotThere) {
  for_all([](const FormRow&) { return true; },
          [](const FormRow& row, std::uint64_t seed) {
            const Case<double> c = draw(row, seed, {.most = seed % 50 == 0 ? 150UL : 9UL});  // some of several tiles
            ASSERT_NO_FATAL_FAILURE(masked_keys_are_not_there(c, seed));
            ASSERT_NO_FATAL_FAILURE(masked_keys_are_not_there(as_float(c), seed));
          });
}

// A pair that pairs, window, block or causal hide: as if the pair were not there.
TEST(Properties, HiddenPairsAreNotThere) {
  for_all([](const FormRow& r) { return r.logits; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed);
            Case<double> said = c;  // the same mask, said in pairs
            said.mask = {};
            said.pairs = Array<std::uint8_t>(c.queries(), c.k.rows);
            for (std::size_t i = 0; i < c.queries(); ++i)
              for (std::size_t j = 0; j < c.k.rows; ++j) said.pairs.row(i)[j] = c.sees(i, j);
            const Output<double> a = run(c), b = run(said);
            ASSERT_NO_FATAL_FAILURE(expect_near(a.out.values, b.out.values, 1e-12, c.text()));
            ASSERT_NO_FATAL_FAILURE(expect_near(a.weights.values, b.weights.values, 1e-12, c.text()));
            Draw d{seed};
            const Array<double> d_out = d.array(a.out.rows, a.out.columns);
            const Gradients<double> ga = run_back(c, a, d_out), gb = run_back(said, b, d_out);
            for (const auto& [x, y] : {std::pair{&ga.q, &gb.q}, std::pair{&ga.k, &gb.k}, std::pair{&ga.v, &gb.v}, std::pair{&ga.bias, &gb.bias}})
              ASSERT_NO_FATAL_FAILURE(expect_near(x->values, y->values, 1e-10, c.text()));
            for (std::size_t i = 0; i < ga.bias.rows; ++i)
              for (std::size_t j = 0; j < c.k.rows; ++j)
                if (!c.sees(i, j)) { ASSERT_EQ(ga.bias.row(i)[j], 0) << c.text(); }
          });
}

TEST(Properties, CausalPrefix) {
  for_all([](const FormRow& r) { return r.causal; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed, {.target = false});
            c.mask.causal = true;
            Draw d{seed};
            const std::size_t t = d.from(1, std::min(c.q.rows, c.k.rows));
            const Output<double> whole = run(c);
            Case<double> part = keys_of(c, count_to(t));
            part.q = rows_of(c.q, count_to(t));
            if (c.bias.columns != 0) part.bias = rows_of(part.bias, count_to(t));
            if (c.pairs.columns != 0) part.pairs = rows_of(part.pairs, count_to(t));
            ASSERT_NO_FATAL_FAILURE(expect_near(run(part).out.values, rows_of(whole.out, count_to(t)).values, 1e-10, c.text()));
          });
}

TEST(Properties, TwiceTheSameKeyIsABiasOfLogTwo) {
  for_all([](const FormRow& r) { return r.logits; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed, {.position = false, .order = false, .normalisers = false});
            c.settings.effective_keys = 0;
            if (c.bias.columns == 0) c.bias = Array<double>(c.queries(), c.k.rows);
            Draw d{seed};
            const std::size_t twice = d.from(0, c.k.rows - 1);
            std::vector<std::size_t> order = count_to(c.k.rows);
            order.push_back(twice);
            const Output<double> doubled = run(keys_of(c, order));
            for (std::size_t i = 0; i < c.bias.rows; ++i) c.bias.row(i)[twice] += std::log(2) * c.settings.temperature;
            ASSERT_NO_FATAL_FAILURE(expect_near(doubled.out.values, run(c).out.values, 1e-10, c.text()));
          });
}

TEST(Properties, LimitsOfTemperature) {
  for_all([](const FormRow& r) { return r.logits; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed, {.target = false, .temperature = false, .normalisers = false});
            const Output<double> warm = run(c);
            Case<double> cold = c, hot = c;
            cold.settings.temperature = 1e-9;
            hot.settings.temperature = 1e9;
            const Output<double> first = run(cold), mean = run(hot);
            const std::size_t queries = c.queries();
            for (std::size_t r = 0; r < warm.weights.rows; ++r) {
              const std::span<const double> w = warm.weights.row(r);
              const std::size_t best = static_cast<std::size_t>(std::ranges::max_element(w) - w.begin());
              std::size_t count = 0;
              bool tie = false;  // too near to tell who is first
              for (std::size_t j = 0; j < c.k.rows; ++j) {
                count += c.sees(r % queries, j);
                tie = tie || (j != best && w[j] > w[best] * (1 - 1e-6));
              }
              for (std::size_t j = 0; j < c.k.rows; ++j) {
                const bool seen = c.sees(r % queries, j);
                if (!tie) { ASSERT_NEAR(first.weights.row(r)[j], seen && j == best ? 1 : 0, 1e-9) << c.text(); }
                ASSERT_NEAR(mean.weights.row(r)[j], seen ? 1 / static_cast<double>(count) : 0, 1e-7) << c.text();
              }
            }
          });
}

TEST(Properties, TargetOfEffectiveKeysIsMet) {
  for_all([](const FormRow& r) { return r.form == Form::time_decayed; },
          [](const FormRow& row, std::uint64_t seed) {
            const Case<double> c = draw(row, seed);
            if (c.settings.effective_keys == 0) return;
            const Output<double> o = run(c);
            for (std::size_t r = 0; r < o.weights.rows; ++r) {
              double entropy = 0, count = 0;
              for (std::size_t j = 0; j < c.k.rows; ++j) {
                const double w = o.weights.row(r)[j];
                if (w > 0) entropy -= w * std::log(w);
                count += c.sees(r % c.queries(), j);
              }
              if (count >= c.settings.effective_keys + 1e-3 && count > 1) {
                ASSERT_NEAR(std::exp(entropy), c.settings.effective_keys, 1e-4 * c.settings.effective_keys) << c.text();
              }
            }
          });
}

TEST(Properties, SharedHeadsAreTiedHeads) {
  for_all(
      [](const FormRow& r) {
        return r.form == Form::dot_product || r.form == Form::linear || r.form == Form::performer || r.form == Form::time_decayed || r.form == Form::multi_head;
      },
      [](const FormRow& row, std::uint64_t seed) {
        const Case<double> c = draw(row, seed);
        Case<double> tied = c;
        tied.settings.kv_heads = 0;
        const std::size_t kv = c.kv(), group = c.heads() / kv;
        const auto columns = [&](const Array<double>& x) {
          std::vector<std::size_t> order;
          const std::size_t each = x.columns / kv;
          for (std::size_t h = 0; h < c.heads(); ++h)
            for (std::size_t i = 0; i < each; ++i) order.push_back(h / group * each + i);
          return order;
        };
        if (row.form == Form::multi_head) {
          for (auto& p : tied.parameters) {
            if (p.name == "wk" || p.name == "wv") {
              Array<double> turned(p.value.columns, p.value.rows);
              for (std::size_t i = 0; i < p.value.rows; ++i)
                for (std::size_t j = 0; j < p.value.columns; ++j) turned.row(j)[i] = p.value.row(i)[j];
              p.value = rows_of(p.value, columns(turned));
            } else if (p.name == "wk.bias" || p.name == "wv.bias") {
              p.value = columns_of(p.value, columns(p.value));
            }
          }
        } else {
          if (row.form == Form::performer) tied.settings.model = c.settings.model * group;
          tied.k = columns_of(c.k, columns(c.k));
          tied.v = columns_of(c.v, columns(c.v));
        }
        const Output<double> a = run(c), b = run(tied);
        ASSERT_NO_FATAL_FAILURE(expect_near(a.out.values, b.out.values, 1e-12, c.text()));
        if (row.form == Form::multi_head) return;
        Draw d{seed};
        const Array<double> d_out = d.array(a.out.rows, a.out.columns);
        const Gradients<double> ga = run_back(c, a, d_out), gb = run_back(tied, b, d_out);
        for (const auto& [one, all] : {std::pair{&ga.k, &gb.k}, std::pair{&ga.v, &gb.v}}) {  // gradients sum over the heads that share
          Array<double> sum(one->rows, one->columns);
          const std::vector<std::size_t> order = columns(*one);
          for (std::size_t i = 0; i < all->rows; ++i)
            for (std::size_t j = 0; j < all->columns; ++j) sum.row(i)[order[j]] += all->row(i)[j];
          ASSERT_NO_FATAL_FAILURE(expect_near(one->values, sum.values, 1e-10, c.text()));
        }
      });
}

TEST(Properties, ChunksMergeIntoTheWhole) {
  for_all([](const FormRow& r) { return r.form == Form::dot_product || r.form == Form::time_decayed; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed, {.position = false, .order = false, .target = false, .normalisers = false});
            Draw d{seed};
            if (d.one_in(10))
              for (double& x : c.q.values) x *= 50;  // logits far apart
            const std::size_t cut = d.from(0, c.k.rows);
            std::vector<std::size_t> all = count_to(c.k.rows), left(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(cut)),
                                     right(all.begin() + static_cast<std::ptrdiff_t>(cut), all.end());
            const Case<float> f = as_float(c);
            const Result<Output<float>> narrow = merge(run(keys_of(f, left)), run(keys_of(f, right)), f.heads());
            ASSERT_TRUE(narrow.has_value()) << narrow.error().text() << c.text();
            ASSERT_NO_FATAL_FAILURE(expect_near(narrow->out.values, run(f).out.values, 2e-5, c.text()));
            const Output<double> whole = run(c), a = run(keys_of(c, left)), b = run(keys_of(c, right));
            const Result<Output<double>> merged = merge(a, b, c.heads());
            ASSERT_TRUE(merged.has_value()) << merged.error().text() << c.text();
            ASSERT_NO_FATAL_FAILURE(expect_near(merged->out.values, whole.out.values, 1e-12, c.text()));
            ASSERT_NO_FATAL_FAILURE(expect_near(merged->weights.values, whole.weights.values, 1e-12, c.text()));
            for (std::size_t r = 0; r < whole.log_sum_exp.size(); ++r) {
              if (std::isinf(whole.log_sum_exp[r])) {
                ASSERT_EQ(merged->log_sum_exp[r], whole.log_sum_exp[r]) << c.text();
              } else {
                ASSERT_NEAR(merged->log_sum_exp[r], whole.log_sum_exp[r], 1e-11 * std::max(1.0, std::fabs(whole.log_sum_exp[r]))) << c.text();
              }
            }
          });
}

template <class T>
void a_stream_says_what_the_batch_says(Case<T> c, const FormRow& row, std::uint64_t seed) {
  const bool window = row.form == Form::dot_product || row.form == Form::multi_head,
             fixed = row.has_query && row.form != Form::linear && row.form != Form::performer && !window;
  Draw d{seed};
  const std::size_t keys = c.k.rows;
  if (row.has_query) c.q = rows_of(c.q, {0});
  std::vector<T> dt(keys);
  if (row.form == Form::time_decayed) {
    if (c.settings.tau == 0) c.settings.tau = 5;
    for (T& x : dt) x = static_cast<T>(d.unit());
    dt[0] = 0;
  }
  if (row.form == Form::linear && d.one_in(2)) c.settings.decay = 0.5 + 0.5 * d.unit();
  const std::size_t reach = d.from(1, 12);
  Result<Stream<T>> stream =
      start_stream<T>(c.settings, c.parameters, c.k.columns, c.v.columns, fixed ? View<const T>(c.q) : View<const T>{}, window ? reach : 0);
  ASSERT_TRUE(stream.has_value()) << stream.error().text() << c.text();
  const std::size_t stop = d.from(1, keys);
  for (std::size_t j = 0; j < stop; ++j) {
    const Status status = push<T>(*stream, c.k.row(j), c.v.columns == 0 ? std::span<T>{} : c.v.row(j), dt[j], c.importance.empty() ? 1 : c.importance[j]);
    ASSERT_TRUE(status.has_value()) << status.error().text();
  }
  const Result<std::vector<T>> streamed = ask<T>(*stream, fixed || !row.has_query ? std::span<T>{} : c.q.row(0));
  ASSERT_TRUE(streamed.has_value()) << streamed.error().text();
  Case<T> batch = keys_of(c, count_to(stop));
  if (row.form == Form::time_decayed) {
    batch.age.assign(stop, 0);
    for (std::size_t j = stop - 1; j > 0; --j) batch.age[j - 1] = batch.age[j] + dt[j];
  }
  if (!fixed && row.has_query) {  // the query stands where the last key does
    batch.q = Array<T>(stop, c.q.columns);
    std::ranges::copy(c.q.row(0), batch.q.row(stop - 1).data());
    batch.mask.causal = true;
    batch.mask.window = window ? reach : 0;
  }
  const Output<T> o = run(batch);
  std::vector<T> last = o.out.values;
  if (!fixed && row.has_query) last.assign(o.out.row(stop - 1).begin(), o.out.row(stop - 1).end());
  ASSERT_NO_FATAL_FAILURE(expect_near(*streamed, last, sizeof(T) == 8 ? 1e-10 : 2e-5, c.text()));
}

TEST(Properties, AStreamSaysWhatTheBatchSays) {
  for_all([](const FormRow& r) { return r.streams; },
          [](const FormRow& row, std::uint64_t seed) {
            const bool window = row.form == Form::dot_product || row.form == Form::multi_head;
            const Case<double> c =
                draw(row, seed, {.order = false, .keys = false, .bias = false, .target = false, .normalisers = window, .most = seed % 50 == 0 ? 100UL : 9UL});
            ASSERT_NO_FATAL_FAILURE(a_stream_says_what_the_batch_says(c, row, seed));
            ASSERT_NO_FATAL_FAILURE(a_stream_says_what_the_batch_says(as_float(c), row, seed));
          });
}

TEST(Properties, ExplanationsAreExact) {  // parts sum to the value; without a key is what comes without it
  for_all([](const FormRow& r) { return r.mixture; },
          [](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed);
            Draw d{seed};
            const std::size_t i = d.from(0, c.queries() - 1), h = d.from(0, c.heads() - 1);
            const bool many = row.form == Form::multi_head;
            std::vector<double> direction(many ? c.settings.model : c.value());
            for (double& x : direction) x = d.normal();
            const Result<Explanation<double>> e = explain<double>(c.settings, c.parameters, c.input(), i, h, direction);
            ASSERT_TRUE(e.has_value()) << e.error().text() << c.text();
            const auto value = [&](const Case<double>& x) {
              const Output<double> o = run(x, false);
              double sum = 0;
              if (many)
                for (std::size_t n = 0; n < direction.size(); ++n) sum += o.out.row(i)[n] * direction[n];
              else
                for (std::size_t n = 0; n < direction.size(); ++n) sum += x.out_at(o, h, i, n) * direction[n];
              return sum;
            };
            const double sum = std::accumulate(e->part.begin(), e->part.end(), e->constant);
            ASSERT_NEAR(sum, e->value, 1e-10) << c.text();
            const std::size_t j = d.from(0, c.k.rows - 1);
            double whole = e->value, less = e->without[j];
            for (std::size_t other = 0; many && other < c.heads(); ++other) {  // out is what all heads bring
              if (other == h) continue;
              const Result<Explanation<double>> more = explain<double>(c.settings, c.parameters, c.input(), i, other, direction);
              ASSERT_TRUE(more.has_value()) << more.error().text() << c.text();
              whole += more->value - more->constant;
              less += more->without[j] - more->constant;
            }
            ASSERT_NEAR(whole, value(c), 1e-10) << c.text();
            if (c.settings.effective_keys > static_cast<double>(c.k.rows) - 1) return;
            Case<double> without = c;
            if (without.keys.empty()) without.keys.assign(c.k.rows, 1);
            without.keys[j] = 0;
            ASSERT_NEAR(less, value(without), 1e-9) << c.text() << " without " << j;
          });
}

// ⟨gradient, direction⟩ against central differences of ⟨d_out, out⟩ along the direction, at ±h and ±2h; both in f64, h = 1e-5.
TEST(Properties, GradientsAreThoseOfTheForward) {
  std::size_t done = 0, skipped = 0;
  for_all([](const FormRow&) { return true; },
          [&](const FormRow& row, std::uint64_t seed) {
            Case<double> c = draw(row, seed, {.most = 6});
            Draw d{seed};
            const Output<double> o = run(c);
            const Array<double> d_out = d.array(o.out.rows, o.out.columns);
            const Gradients<double> g = run_back(c, o, d_out);
            const auto support = [](const Output<double>& x) {
              std::vector<bool> s;
              for (const double w : x.weights.values) s.push_back(w > 0);
              return s;
            };
            const bool kinked =
                c.settings.normaliser == Normaliser::sparsemax || c.settings.normaliser == Normaliser::entmax15 || c.settings.normaliser == Normaliser::top_k;
            constexpr double step = 1e-5;
            const auto check = [&](const std::string& name, std::size_t n, const std::function<double*(Case<double>&)>& at, const double* gradient) {
              if (n == 0) return;
              std::vector<double> direction(n);
              double told = 0;
              for (std::size_t i = 0; i < n; ++i) {
                direction[i] = d.normal();
                told += direction[i] * gradient[i];
              }
              const auto moved = [&](double steps) {
                Case<double> there = c;
                for (std::size_t i = 0; i < n; ++i) at(there)[i] += steps * step * direction[i];
                return run(there);
              };
              // Four points: the error is of step⁴, also where a target of entropy bends what comes out.
              const Output<double> far_up = moved(2), up = moved(1), down = moved(-1), far_down = moved(-2);
              if (kinked && (support(far_up) != support(far_down) || support(up) != support(down) || support(up) != support(far_up))) {
                ++skipped;
                return;
              }
              double found = 0, size = 1e-2;
              for (std::size_t i = 0; i < d_out.values.size(); ++i) {
                const double slope = (8 * (up.out.values[i] - down.out.values[i]) - (far_up.out.values[i] - far_down.out.values[i])) / (12 * step),
                             term = d_out.values[i] * slope;
                found += term;
                size += std::fabs(term);
              }
              ++done;
              ASSERT_NEAR(told, found, 1e-6 * size) << name << " " << c.text();
            };
            const auto all = [&](const std::string& name, Array<double> Case<double>::* what, const Array<double>& gradient) {
              if ((c.*what).columns == 0) return;
              ASSERT_EQ(gradient.values.size(), (c.*what).values.size()) << name << " " << c.text();
              check(name, gradient.values.size(), [what](Case<double>& x) { return (x.*what).values.data(); }, gradient.values.data());
            };
            ASSERT_NO_FATAL_FAILURE(all("q", &Case<double>::q, g.q));
            ASSERT_NO_FATAL_FAILURE(all("k", &Case<double>::k, g.k));
            ASSERT_NO_FATAL_FAILURE(all("v", &Case<double>::v, g.v));
            ASSERT_NO_FATAL_FAILURE(all("bias", &Case<double>::bias, g.bias));
            ASSERT_EQ(g.parameters.size(), c.parameters.size());
            for (std::size_t p = 0; p < g.parameters.size(); ++p) {
              ASSERT_EQ(g.parameters[p].name, c.parameters[p].name);
              ASSERT_EQ(g.parameters[p].value.values.size(), c.parameters[p].value.values.size());
              ASSERT_NO_FATAL_FAILURE(check(
                  c.parameters[p].name, g.parameters[p].value.values.size(), [p](Case<double>& x) { return x.parameters[p].value.values.data(); },
                  g.parameters[p].value.values.data()));
            }
            if (row.form != Form::time_decayed) return;
            if (!c.age.empty()) {
              for (double& x : c.age) x += 1e-3;  // ages stay ≥ 0
              ASSERT_EQ(g.age.size(), c.age.size());
            }
            const Gradients<double> again = run_back(c, run(c), d_out);
            if (!c.age.empty()) {
              ASSERT_NO_FATAL_FAILURE(check("age", c.age.size(), [](Case<double>& x) { return x.age.data(); }, again.age.data()));
            }
            if (!c.importance.empty()) {
              ASSERT_NO_FATAL_FAILURE(check("importance", c.importance.size(), [](Case<double>& x) { return x.importance.data(); }, again.importance.data()));
            }
            if (c.settings.tau != 0) {
              ASSERT_NO_FATAL_FAILURE(check("tau", 1, [](Case<double>& x) { return &x.settings.tau; }, &again.tau));
            }
            ASSERT_NO_FATAL_FAILURE(check("temperature", 1, [](Case<double>& x) { return &x.settings.temperature; }, &again.temperature));
          });
  EXPECT_LT(skipped * 50, done);
}

// The same problem in f32 and f64; large ones, too, that need several tiles and blocks of queries.
TEST(Properties, FloatFollowsDouble) {
  const auto compare = [](const FormRow& row, std::uint64_t seed, const May& may) {
    const Case<float> f = as_float(draw(row, seed, may));
    const Case<double> c = as_double(f);
    const Output<float> a = run(f);
    const Output<double> b = run(c);
    ASSERT_NO_FATAL_FAILURE(expect_near(a.out.values, b.out.values, 2e-4, "out " + c.text()));
    if (row.mixture)
      for (std::size_t r = 0; r < a.weights.rows; ++r) {
        double sum = 0;
        for (const float w : a.weights.row(r)) sum += static_cast<double>(w);
        if (c.settings.normaliser != Normaliser::sigmoid && c.sees_any(r % c.queries())) { ASSERT_NEAR(sum, 1, 2e-6) << c.text(); }
      }
    for (std::size_t i = 0; i < a.weights.values.size(); ++i)
      if ((a.weights.values[i] > 0) != (b.weights.values[i] > 0)) return;  // a key at the edge of a support
    Draw d{seed};
    const Array<double> d_out = as<double>(as<float>(d.array(b.out.rows, b.out.columns)));
    const Gradients<float> ga = run_back(f, a, as<float>(d_out));
    const Gradients<double> gb = run_back(c, b, d_out);
    ASSERT_NO_FATAL_FAILURE(expect_near(ga.q.values, gb.q.values, 1e-3, "q " + c.text()));
    ASSERT_NO_FATAL_FAILURE(expect_near(ga.k.values, gb.k.values, 1e-3, "k " + c.text()));
    ASSERT_NO_FATAL_FAILURE(expect_near(ga.v.values, gb.v.values, 1e-3, "v " + c.text()));
    ASSERT_NO_FATAL_FAILURE(expect_near(ga.bias.values, gb.bias.values, 1e-3, "bias " + c.text()));
    ASSERT_NO_FATAL_FAILURE(expect_near(ga.age, gb.age, 1e-3, "age " + c.text()));
    ASSERT_NO_FATAL_FAILURE(expect_near(ga.importance, gb.importance, 1e-3, "importance " + c.text()));
    for (std::size_t p = 0; p < ga.parameters.size(); ++p)
      ASSERT_NO_FATAL_FAILURE(expect_near(ga.parameters[p].value.values, gb.parameters[p].value.values, 1e-3, ga.parameters[p].name + " " + c.text()));
  };
  for_all([](const FormRow&) { return true; }, [&](const FormRow& row, std::uint64_t seed) { compare(row, seed, {}); });
  for_all([](const FormRow& r) { return r.form == Form::dot_product || r.form == Form::multi_head; },
          [&](const FormRow& row, std::uint64_t seed) { compare(row, seed, {.most = 400}); }, sanitized ? 4 : 40);
}

struct Threads {  // three at once, whoever comes first takes the next
  static void run(void*, std::size_t n, void (*task)(void*, std::size_t, std::size_t), void* argument) {
    std::atomic<std::size_t> next{0};
    std::vector<std::jthread> all;
    for (std::size_t w = 0; w < 3; ++w)
      all.emplace_back([&, w] {
        for (std::size_t i; (i = next++) < n;) task(argument, i, w);
      });
  }
};

TEST(Properties, ThreadsChangeNoBit) {
  const Executor three{.threads = 3, .run = Threads::run, .self = nullptr};
  const auto compare = [&](const auto& c, std::uint64_t seed) {
    const auto a = run(c), b = run(c, true, three);
    ASSERT_EQ(a.out.values, b.out.values) << c.text();
    ASSERT_EQ(a.weights.values, b.weights.values) << c.text();
    ASSERT_EQ(a.log_sum_exp, b.log_sum_exp) << c.text();
    auto d_out = a.out;
    Draw d{seed};
    for (auto& x : d_out.values) x = static_cast<std::remove_reference_t<decltype(x)>>(d.normal());
    const auto ga = run_back(c, a, d_out), gb = run_back(c, b, d_out, three);
    ASSERT_EQ(ga.q.values, gb.q.values) << c.text();
    ASSERT_EQ(ga.k.values, gb.k.values) << c.text();
    ASSERT_EQ(ga.v.values, gb.v.values) << c.text();
    ASSERT_EQ(ga.bias.values, gb.bias.values) << c.text();
    for (std::size_t p = 0; p < ga.parameters.size(); ++p) ASSERT_EQ(ga.parameters[p].value.values, gb.parameters[p].value.values) << c.text();
  };
  for_all([](const FormRow&) { return true; },
          [&](const FormRow& row, std::uint64_t seed) {
            const Case<double> c = draw(row, seed, {.most = seed % 50 == 0 ? 150UL : 9UL});
            if (seed % 2 == 0) compare(c, seed);
            else compare(as_float(c), seed);
          });
}

// ---------------------------------------------------------------------------------------------------------------- normalisers by themselves

std::vector<double> logits(Draw& d, double size) {
  std::vector<double> z(d.from(1, 30));
  for (double& x : z) x = size * d.normal();
  return z;
}

TEST(Normalisers, AreLipschitz) {  // softmax ½, the sparse ones 1, sigmoid ¼
  for (std::uint64_t seed = 1; seed <= repeats * 10; ++seed) {
    Draw d{seed};
    const std::vector<double> z = logits(d, 3);
    std::vector<double> other = z;
    const double far = std::pow(10, -3 + 4 * d.unit());
    for (double& x : other) x += far * d.normal();
    for (const auto& [normaliser, bound] : {std::pair{Normaliser::softmax, 0.5}, std::pair{Normaliser::sparsemax, 1.0}, std::pair{Normaliser::entmax15, 1.0},
                                            std::pair{Normaliser::sigmoid, 0.25}}) {
      std::vector<double> p = z, q = other;
      normalise<double>(normaliser, 1, p);
      normalise<double>(normaliser, 1, q);
      double dp = 0, dz = 0;
      for (std::size_t i = 0; i < z.size(); ++i) {
        dp += (p[i] - q[i]) * (p[i] - q[i]);
        dz += (z[i] - other[i]) * (z[i] - other[i]);
      }
      ASSERT_LE(std::sqrt(dp), bound * std::sqrt(dz) + 1e-14) << seed;
    }
  }
}

TEST(Normalisers, SparseOnesSolveTheirEquations) {  // of the support: z − p (sparsemax), z/2 − √p (entmax15) is one number τ, and no smaller elsewhere
  for (std::uint64_t seed = 1; seed <= repeats * 10; ++seed) {
    Draw d{seed};
    const std::vector<double> z = logits(d, 2);
    for (const bool half : {false, true}) {
      std::vector<double> p = z;
      normalise<double>(half ? Normaliser::entmax15 : Normaliser::sparsemax, 1, p);
      double tau = std::numeric_limits<double>::quiet_NaN(), sum = 0;
      const auto at = [&](std::size_t i) { return half ? z[i] / 2 - std::sqrt(p[i]) : z[i] - p[i]; };
      for (std::size_t i = 0; i < z.size(); ++i) {
        sum += p[i];
        if (p[i] > 1e-9) tau = at(i);
      }
      ASSERT_NEAR(sum, 1, 1e-12);
      for (std::size_t i = 0; i < z.size(); ++i) {
        if (p[i] > 1e-9) {
          ASSERT_NEAR(at(i), tau, 1e-9) << seed;
        } else {
          ASSERT_LE(half ? z[i] / 2 : z[i], tau + 1e-4) << seed;
        }
      }
    }
  }
}

TEST(Normalisers, WhatIsFarBelowTheGreatestDoesNotCount) {  // however far: as far as there are numbers
  const auto alone = []<class T>(T most) {
    for (const Normaliser normaliser : {Normaliser::softmax, Normaliser::sparsemax, Normaliser::entmax15, Normaliser::top_k})
      for (const T least : {T{-1e4}, T{-1e30}, -std::sqrt(most), -most / 4, -most})
        for (const T top : {T{0}, T{1}, most}) {
          std::vector<T> z = {least, top, least / 2};
          normalise<T>(normaliser, 2, z);
          EXPECT_EQ(z, (std::vector<T>{0, 1, 0})) << to_string(normaliser) << " " << least << " " << top;
        }
  };
  alone(std::numeric_limits<float>::max());
  alone(std::numeric_limits<double>::max());
}

TEST(Normalisers, TopKKeepsTheFirstOfEquals) {
  std::vector<double> z = {1, 3, 3, 2, 3, std::numeric_limits<double>::lowest()};
  normalise<double>(Normaliser::top_k, 2, z);
  EXPECT_EQ(z, (std::vector<double>{0, 0.5, 0.5, 0, 0, 0}));
  std::vector<double> few = {0, 0};
  EXPECT_NEAR(normalise<double>(Normaliser::top_k, 8, few), std::log(2), 1e-15);
  EXPECT_EQ(few, (std::vector<double>{0.5, 0.5}));
}

TEST(Normalisers, WhatOverflowedIsSeen) {
  constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (const Normaliser normaliser : {Normaliser::softmax, Normaliser::sparsemax, Normaliser::entmax15, Normaliser::top_k, Normaliser::sigmoid})
    for (const double bad : {inf, nan}) {
      std::vector<double> z = {0, bad, -inf, 1};
      normalise<double>(normaliser, 2, z);
      for (const double p : z) EXPECT_TRUE(std::isnan(p)) << to_string(normaliser);
    }
}

}  // namespace
}  // namespace weir::attention
