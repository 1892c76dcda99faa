"""Batch norms multiplied into the convolutions before them."""

from collections import Counter

from torch import Tensor, fx, nn
from torch.fx.graph_module import GraphModule

from compressibility.evaluation.tracing import reason_not_resumable
from compressibility.networks.normalisation import affine_map
from compressibility.networks.plainness import is_plain


def fold_batch_norms(traced: GraphModule) -> dict[str, Tensor]:
    """Multiply each batch norm that alone follows a convolution into it, in place.

    Returns, for each layer folded into, the factor of its output channels, float64: whoever
    replaces the layer's kernel multiplies the new one by it along OUT.
    """
    modules = dict(traced.named_modules())
    n_calls = Counter(n.target for n in traced.graph.nodes if n.op == "call_module")
    factors: dict[str, Tensor] = {}
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or not is_plain(modules[node.target], nn.BatchNorm2d):
            continue
        source = node.args[0]
        if not (
            isinstance(source, fx.Node)
            and source.op == "call_module"
            and len(source.users) == 1
            and n_calls[source.target] == n_calls[node.target] == 1
            and isinstance(modules[str(source.target)], nn.Conv2d)
            and reason_not_resumable(traced, str(source.target)) is None
        ):
            continue
        norm, conv = modules[node.target], modules[str(source.target)]
        assert isinstance(norm, nn.BatchNorm2d)
        folded = affine_map(norm)
        if folded is None or norm.training:
            continue
        weight = conv.weight.double() * folded.scale.reshape(-1, 1, 1, 1)
        bias = folded.behind(conv.bias)
        conv.weight = nn.Parameter(weight.to(conv.weight), requires_grad=False)
        conv.bias = nn.Parameter(bias.to(conv.weight), requires_grad=False)
        node.replace_all_uses_with(source)
        traced.graph.erase_node(node)
        factors[str(source.target)] = folded.scale.detach()
    traced.recompile()
    return factors
