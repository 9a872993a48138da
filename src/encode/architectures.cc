#include <array>

#include "encode/weights.h"

namespace weir {
namespace {

constexpr std::array<Architecture, 3> architectures{{
    {.name = "bert",
     .word = "embeddings.word_embeddings.weight",
     .position = "embeddings.position_embeddings.weight",
     .type = "embeddings.token_type_embeddings.weight",
     .norm = "embeddings.LayerNorm",
     .query = "encoder.layer.{}.attention.self.query",
     .key = "encoder.layer.{}.attention.self.key",
     .value = "encoder.layer.{}.attention.self.value",
     .out = "encoder.layer.{}.attention.output.dense",
     .out_norm = "encoder.layer.{}.attention.output.LayerNorm",
     .up = "encoder.layer.{}.intermediate.dense",
     .down = "encoder.layer.{}.output.dense",
     .down_norm = "encoder.layer.{}.output.LayerNorm"},
    {.name = "distilbert",
     .word = "embeddings.word_embeddings.weight",
     .position = "embeddings.position_embeddings.weight",
     .type = "",
     .norm = "embeddings.LayerNorm",
     .query = "transformer.layer.{}.attention.q_lin",
     .key = "transformer.layer.{}.attention.k_lin",
     .value = "transformer.layer.{}.attention.v_lin",
     .out = "transformer.layer.{}.attention.out_lin",
     .out_norm = "transformer.layer.{}.sa_layer_norm",
     .up = "transformer.layer.{}.ffn.lin1",
     .down = "transformer.layer.{}.ffn.lin2",
     .down_norm = "transformer.layer.{}.output_layer_norm"},
    {.name = "e5s1",
     .word = "emb.word",
     .position = "emb.pos",
     .type = "emb.type",
     .norm = "emb.ln",
     .query = "l{}.q",
     .key = "l{}.k",
     .value = "l{}.v",
     .out = "l{}.ao",
     .out_norm = "l{}.aln",
     .up = "l{}.fi",
     .down = "l{}.fo",
     .down_norm = "l{}.oln",
     .weight = ".w",
     .bias = ".b"},
}};

}  // namespace

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture& a : architectures)
    if (a.name == name) return &a;
  return nullptr;
}

}  // namespace weir
