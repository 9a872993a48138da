// Model files that lie, are cut short or mutated; texts that are bombs. Nothing crashes, nothing that is not finite comes out, and errors name the place.
#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <random>

#include "base/file.h"
#include "encode/encoder.h"
#include "encode/models.h"
#include "encode/tiny_models.h"
#include "encode/tokenizer.h"
#include "encode/weights.h"

namespace weir {
namespace {

double cpu_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    folder = std::filesystem::temp_directory_path() / ("weir_encode_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder / "st");
    std::filesystem::create_directories(folder / "e5");
    put("st/config.json", tiny::config_json());
    put("st/tokenizer.json", tiny::tokenizer_json());
    put("st/model.safetensors", tiny::safetensors());
    put("e5/model.bin", tiny::e5());
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  void put(const std::string& name, std::string_view bytes) { ASSERT_TRUE(write_file(folder / name, bytes)); }

  // A model that loads gives finite vectors; one that does not says why.
  static void loads_or_says_why(const std::filesystem::path& model, std::size_t& loaded) {
    const auto encoder = Encoder::load(model);
    if (!encoder) {
      EXPECT_FALSE(encoder.error().message.empty());
      return;
    }
    ++loaded;
    const std::string_view texts[] = {"the streams of news, a. 注意力 unknown", "the"};
    for (const float v : encoder->encode(texts).values) ASSERT_TRUE(std::isfinite(v));
  }

  void mutate(const std::string& name, const std::filesystem::path& model) {
    const auto original = read_file(folder / name);
    ASSERT_TRUE(original);
    std::mt19937 random(42);
    std::size_t loaded = 0;
    for (int i = 0; i < 500; ++i) {
      std::string bytes = *original;
      // The head of a file is where it can lie: half of the changes go there.
      const std::size_t head = i % 2 == 0 ? bytes.size() : std::min<std::size_t>(bytes.size(), 4096);
      switch (i % 5) {
        case 0: bytes.resize(random() % bytes.size()); break;
        case 1:
          for (int j = 0; j < 3; ++j) bytes[random() % head] = static_cast<char>(random());
          break;
        case 2: bytes.replace(random() % head, 4, std::string(4, '\xFF')); break;
        case 3: bytes[random() % head] ^= static_cast<char>(1U << random() % 8); break;
        default: bytes.insert(random() % head, bytes.substr(random() % head, random() % 64)); break;
      }
      put(name, bytes);
      ASSERT_NO_FATAL_FAILURE(loads_or_says_why(folder / model, loaded)) << "mutation " << i;
    }
    put(name, *original);
    std::printf("%s: %zu of 500 mutations load\n", name.c_str(), loaded);
    EXPECT_LT(loaded, 400U);
  }
  std::filesystem::path folder;
};

TEST_F(Folder, TinyModelsLoad) {
  std::size_t loaded = 0;
  loads_or_says_why(folder / "st", loaded);
  loads_or_says_why(folder / "e5", loaded);
  EXPECT_EQ(loaded, 2U);
  const auto encoder = Encoder::load(folder / "st");
  ASSERT_TRUE(encoder);
  EXPECT_EQ(encoder->tokenize("The streams, OF Néws xyz"), (std::vector<std::uint32_t>{2, 4, 5, 6, 1, 7, 8, 1, 3}));
}

TEST_F(Folder, MutatedSafetensors) { mutate("st/model.safetensors", "st"); }
TEST_F(Folder, MutatedTokenizer) { mutate("st/tokenizer.json", "st"); }
TEST_F(Folder, MutatedConfig) { mutate("st/config.json", "st"); }
TEST_F(Folder, MutatedE5) { mutate("e5/model.bin", "e5"); }

TEST_F(Folder, ErrorsNameThePlace) {
  const auto error = [&](const char* model) {
    const auto encoder = Encoder::load(folder / model);
    return encoder ? Error{} : encoder.error();
  };
  std::string config = tiny::config_json();
  config.replace(config.find("\"intermediate_size\":128"), 23, "\"intermediate_size\":192");
  put("st/config.json", config);
  EXPECT_EQ(error("st").code, Code::corrupt);
  EXPECT_NE(error("st").text().find("encoder.layer.0.intermediate.dense.weight: expected [192 × 64], found [128 × 64]"), std::string::npos)
      << error("st").text();
  config = tiny::config_json();
  config.replace(config.find("\"bert\""), 6, "\"llama\"");
  put("st/config.json", config);
  EXPECT_EQ(error("st").code, Code::refused);
  put("st/config.json", tiny::config_json());
  std::string bytes = tiny::safetensors();
  const float nan = std::nanf("");
  std::memcpy(bytes.data() + bytes.size() - 64 * 4 * 4 - 64 * 128 * 4, &nan, 4);  // in output.dense
  put("st/model.safetensors", bytes);
  EXPECT_EQ(error("st").code, Code::corrupt);
  EXPECT_NE(error("st").text().find("not finite"), std::string::npos) << error("st").text();
  put("st/model.safetensors", tiny::safetensors());
  std::filesystem::remove(folder / "st/model.safetensors");
  EXPECT_EQ(error("st").code, Code::not_found);
  EXPECT_EQ(error("nothing/here").code, Code::not_found);
}

TEST_F(Folder, AWordEmbeddingThatIsNotFiniteLeavesNoVector) {
  std::string bytes = tiny::safetensors();
  const std::size_t header = 8 + *reinterpret_cast<const std::uint64_t*>(bytes.data());
  const float nan = std::nanf("");
  std::memcpy(bytes.data() + header + 4 * 64 * 4, &nan, 4);  // "the"
  put("st/model.safetensors", bytes);
  for (const Precision p : {Precision::f32, Precision::int8}) {
    const auto encoder = Encoder::load(folder / "st", {.precision = p});
    if (!encoder) continue;  // said why
    const std::string_view texts[] = {"the stream", "news of streams"};
    const Matrix m = encoder->encode(texts);
    for (const float v : m.values) EXPECT_TRUE(std::isfinite(v));
    EXPECT_TRUE(Encoder::has_vector(m.row(1)));
  }
}

TEST_F(Folder, EmptyBatches) {
  const auto encoder = Encoder::load(folder / "st");
  ASSERT_TRUE(encoder);
  EXPECT_EQ(encoder->encode({}).rows, 0U);
  const std::string_view blank[] = {"", "  "};
  const Matrix m = encoder->encode(blank);
  EXPECT_FALSE(Encoder::has_vector(m.row(0)));
  EXPECT_FALSE(Encoder::has_vector(m.row(1)));
}

class Bombs : public testing::TestWithParam<const char*> {};

TEST_P(Bombs, CostLittle) {
  if (!find_model(GetParam())) GTEST_SKIP() << "the model " << GetParam() << " is not here: weir model fetch " << GetParam();
  const auto encoder = Encoder::load(GetParam());
  ASSERT_TRUE(encoder);
  constexpr std::size_t size = 10'000'000;
  std::string accents = "a", mixed, spaces(size, ' ');
  while (accents.size() < size) accents += "\xCC\x81";
  while (mixed.size() < size) mixed += "\xEF\xBC\xA1\xCC\x81";
  for (const std::string& bomb :
       {std::string(size, 'a'), std::string(size, '\x01'), accents, mixed, spaces, std::string(size, '\xFF'), std::string(size, '.')}) {
    double best = 1;
    for (int i = 0; i < 3; ++i) {
      const double began = cpu_seconds();
      EXPECT_LE(encoder->tokenize(bomb).size(), encoder->max_tokens());
      best = std::min(best, cpu_seconds() - began);
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    EXPECT_LE(best, 0.5);
#else
    EXPECT_LE(best, 0.010) << static_cast<int>(bomb[0]);
#endif
  }
}

// Long texts cut into pieces that fit: what a stream gives. At least 20 MB/s.
TEST_P(Bombs, TokenizingIsFast) {
  if (!find_model(GetParam())) GTEST_SKIP() << "the model " << GetParam() << " is not here: weir model fetch " << GetParam();
  const auto encoder = Encoder::load(GetParam());
  ASSERT_TRUE(encoder);
  const std::string english =
      "The central bank raised interest rates by a quarter point on Wednesday, citing persistent inflation and a tight labour market; economists had "
      "expected the move, though Moldovan hairdressers' unions (see p. 12) protested against microcredit re-pricing. ";
  const std::string chinese = "中国科学家在月球背面发现了新的矿物，研究结果发表在《自然》杂志上。北京时间11月24日，国家队以3比1战胜对手，提前一轮出线。";
  for (const std::string& text : {english, chinese}) {
    std::size_t bytes = 0;
    double best = 1e9;
    for (int repeat = 0; repeat < 20; ++repeat) {
      const double began = cpu_seconds();
      bytes = 0;
      for (int i = 0; i < 500; ++i) {
        EXPECT_LT(encoder->tokenize(text).size(), encoder->max_tokens());
        bytes += text.size();
      }
      best = std::min(best, cpu_seconds() - began);
    }
    std::printf("%s, %s: %.1f MB/s\n", GetParam(), text == english ? "English" : "Chinese", static_cast<double>(bytes) / best * 1e-6);
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_GE(static_cast<double>(bytes) / best, 10e6);  // half the promise: a machine that is busy
#endif
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Bombs, testing::Values("minilm", "e5-small"),
                         [](const auto& test) { return std::string(test.param == std::string("minilm") ? "minilm" : "e5"); });

}  // namespace
}  // namespace weir
