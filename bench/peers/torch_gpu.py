"""PyTorch on the work that bench/gpu times: `torch_gpu.py PART REQUEST` prints a JSON object per line, {name, case, samples, about}.

The step `torch` of scripts/gpu-check starts it. Parts: linear, attention, decode, round, denoise, vae. All in bf16 but the decoding of
pictures, which is f32 without TF32 on both sides. On a card every case is captured in a CUDA graph where that works and timed with events
around several replays; on the cpu (to try the script) with a clock. Weights are random, those of each layer its own.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

PART, REQUEST = sys.argv[1], json.loads(sys.argv[2])
DEVICE, SMALL = REQUEST["device"], REQUEST["small"]
LLM, VAE = REQUEST["config"]["llm"], REQUEST["config"]["vae"]
CUDA = DEVICE == "cuda"
SAMPLES = 2 if SMALL else 15
ROTATED_BYTES = 1 << 16 if SMALL else 512 << 20
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.manual_seed(1)


def say(name, case, samples, about):
    print(json.dumps({"name": name, "case": case, "samples": samples, "about": about}), flush=True)


def random(*shape, dtype=torch.bfloat16, scale=0.02):
    return torch.empty(shape, device=DEVICE, dtype=dtype).normal_(0, scale)


def clock(run, replays):
    """Seconds of `replays` calls."""
    if not CUDA:
        start = time.perf_counter()
        for _ in range(replays):
            run()
        return time.perf_counter() - start
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(replays):
        run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def timed(work, calls=1):
    """Seconds per call of `work`, which makes `calls` calls; and how it ran."""
    run, how = work, "eager"
    with torch.inference_mode():
        if CUDA:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    work()
            torch.cuda.current_stream().wait_stream(stream)
            torch.cuda.synchronize()
            try:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):
                    work()
                run, how = graph.replay, "CUDA graph"
            except RuntimeError as error:
                torch.cuda.synchronize()
                how = f"eager: no graph ({str(error).splitlines()[0]})"
        run()
        once = clock(run, 1)
        replays = 1 if SMALL else max(1, min(64, int(0.01 / max(once, 1e-6)) + 1))
        return [clock(run, replays) / (replays * calls) for _ in range(SAMPLES)], how


def linear_part():
    for matrix in REQUEST["matrices"]:
        name, inputs, outputs = matrix["name"], matrix["inputs"], matrix["outputs"]
        swiglu = matrix["activation"] == "swiglu"
        copies = max(1, -(-ROTATED_BYTES // (2 * inputs * outputs)))
        weights = [random(outputs, inputs) for _ in range(copies)]
        for n in REQUEST["rows"]:
            if name == "scores of tokens" and n > 128:
                continue
            x = random(n, inputs)
            used = weights if n <= 128 else weights[:1]

            def work():
                for weight in used:
                    y = F.linear(x, weight)
                    if swiglu:
                        gate, up = y.chunk(2, dim=-1)
                        y = F.silu(gate) * up
                return y

            samples, how = timed(work, len(used))
            say("linear", f"{name}, {n} rows", samples, f"F.linear, {how}")


def tree_mask(nodes, context):
    """Additive mask [nodes, context + nodes]: a node sees the context, its ancestors and itself; three children each."""
    mask = torch.full((nodes, nodes), float("-inf"))
    for i in range(nodes):
        at = i
        while at >= 0:
            mask[i, at] = 0
            at = (at - 1) // 3 if at > 0 else -1
    return torch.cat([torch.zeros(nodes, context), mask], dim=1).to(DEVICE, torch.bfloat16)


def attention_part():
    heads, groups, dim = LLM["heads"], LLM["kvHeads"], LLM["headDim"]
    cases = [(1, 4096 if not SMALL else 16, "decode of the 7B model, 4096 slots")]
    for nodes in REQUEST["nodes"]:
        for context in [16] if SMALL else [64, 1024, 8192]:
            cases.append((nodes, context, f"a tree of {nodes} nodes of the 7B model, {context} slots before it"))
    for nodes, context, case in cases:
        slots = context + (nodes if nodes > 1 else 0)
        q = random(1, heads, nodes, dim, scale=1)
        k, v = random(1, groups, slots, dim, scale=1), random(1, groups, slots, dim, scale=1)
        mask = tree_mask(nodes, context)[None, None] if nodes > 1 else None

        def work():
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)

        samples, how = timed(work)
        say("paged_attention", case, samples, f"scaled_dot_product_attention without pages, {how}")


class Layer:
    """One expert's decoder layer: fused q, k, v and gate, up."""

    def __init__(self):
        hidden, inter = LLM["hidden"], LLM["intermediate"]
        self.heads, self.groups, self.dim = LLM["heads"], LLM["kvHeads"], LLM["headDim"]
        width = (self.heads + 2 * self.groups) * self.dim
        self.qkv, self.bias = random(width, hidden), random(width)
        self.o = random(hidden, self.heads * self.dim)
        self.gate_up, self.down = random(2 * inter, hidden), random(hidden, inter)
        self.norms = [random(hidden) for _ in range(2)]
        self.qk_norms = [random(self.dim) for _ in range(2)]

    def __call__(self, x, cos, sin, keys, values, context, mask):
        """x [B, n, hidden]; keys and values [B, groups, context + n, dim], whose last n this writes."""
        batch, n, hidden = x.shape
        eps = LLM["eps"]
        y = F.linear(F.rms_norm(x, (hidden,), self.norms[0], eps), self.qkv, self.bias)
        y = y.view(batch, n, -1, self.dim).transpose(1, 2)
        q, k, v = y.split([self.heads, self.groups, self.groups], dim=1)
        q = rotate(F.rms_norm(q, (self.dim,), self.qk_norms[0], eps), cos, sin)
        k = rotate(F.rms_norm(k, (self.dim,), self.qk_norms[1], eps), cos, sin)
        keys[:, :, context:] = k
        values[:, :, context:] = v
        a = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, enable_gqa=True)
        x = x + F.linear(a.transpose(1, 2).reshape(batch, n, -1), self.o)
        gate, up = F.linear(F.rms_norm(x, (hidden,), self.norms[1], eps), self.gate_up).chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, self.down)


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin


def transformer(batch, rows, context, mask, layers=None):
    """A forward of all layers over `rows` rows behind `context` slots, with caches of its own and new weights unless given."""
    layers = layers or [Layer() for _ in range(LLM["layers"])]
    shape = (batch, LLM["kvHeads"], context + rows, LLM["headDim"])
    caches = [(random(*shape), random(*shape)) for _ in layers]
    cos, sin = random(rows, LLM["headDim"], scale=1), random(rows, LLM["headDim"], scale=1)

    def forward(x):
        for layer, (keys, values) in zip(layers, caches):
            x = layer(x, cos, sin, keys, values, context, mask)
        return x

    return forward


def tokens_part(name, sizes):
    embeddings, scores = random(LLM["vocab"], LLM["hidden"]), random(LLM["vocab"], LLM["hidden"])
    norm = random(LLM["hidden"])
    for context in REQUEST["contexts"]:
        for nodes in sizes:
            forward = transformer(1, nodes, context, tree_mask(nodes, context)[None, None] if nodes > 1 else None)
            ids = torch.arange(nodes, device=DEVICE)

            def work():
                x = forward(F.embedding(ids, embeddings)[None])
                return F.linear(F.rms_norm(x, (LLM["hidden"],), norm, LLM["eps"]), scores).float().argmax(-1)

            samples, how = timed(work)
            case = f"{context} tokens before it" if name == "decode_step" else f"{nodes} nodes, {context} tokens before them"
            say(name, case, samples, f"forward and argmax without tree building, verification and commit, {how}")
            del forward, work


def denoise_part():
    config = REQUEST["config"]
    size, stride = config["imageSize"], VAE["downsample"] * config["latent"]["patch"]
    rows = (size // stride) ** 2 + 2
    layers = [Layer() for _ in range(LLM["layers"])]
    for branches, contexts in [(1, [64]), (3, [2 * rows + 32, 2 * rows, 32])]:
        if SMALL:
            contexts = [4] * branches
        forwards = [transformer(1, rows, context, None, layers) for context in contexts]
        x = random(1, rows, LLM["hidden"])

        def work():
            return [forward(x) for forward in forwards]

        samples, how = timed(work)
        about = f"the layers' forwards alone, a branch after the other, one expert, {how}"
        say("denoise_step", f"{size} x {size}, {branches} branch{'es' if branches > 1 else ''}", samples, about)
        del forwards, work


def vae_part():
    def conv(inputs, outputs, kernel=3):
        return random(outputs, inputs, kernel, kernel, dtype=torch.float32), random(outputs, dtype=torch.float32)

    def norm(x):
        return F.silu(F.group_norm(x, VAE["groups"], eps=VAE["eps"]))

    def block(inputs, outputs):
        first, second = conv(inputs, outputs), conv(outputs, outputs)
        short = conv(inputs, outputs, 1) if inputs != outputs else None

        def run(x):
            y = F.conv2d(norm(x), *first, padding=1)
            y = F.conv2d(norm(y), *second, padding=1)
            return y + (F.conv2d(x, *short) if short else x)

        return run

    def attention(width):
        qkv, out = conv(width, 3 * width, 1), conv(width, width, 1)

        def run(x):
            b, c, h, w = x.shape
            y = F.conv2d(F.group_norm(x, VAE["groups"], eps=VAE["eps"]), *qkv)
            q, k, v = y.view(b, 3, c, h * w).transpose(2, 3).unbind(1)
            a = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
            return x + F.conv2d(a.transpose(1, 2).reshape(b, c, h, w), *out)

        return run

    def up(width):
        weights = conv(width, width)
        return lambda x: F.conv2d(F.interpolate(x, scale_factor=2.0), *weights, padding=1)

    widths = [m * VAE["channels"] for m in VAE["multipliers"]]
    width = widths[-1]
    first = conv(VAE["latentChannels"], width)
    parts = [block(width, width), attention(width), block(width, width)]
    for level in reversed(range(len(widths))):
        for _ in range(VAE["resBlocks"] + 1):
            parts.append(block(width, widths[level]))
            width = widths[level]
        if level > 0:
            parts.append(up(width))
    last = conv(width, VAE["outChannels"])
    size = REQUEST["config"]["imageSize"]
    side = size // VAE["downsample"]
    latent = random(1, VAE["latentChannels"], side, side, dtype=torch.float32, scale=1)
    if CUDA:
        latent = latent.to(memory_format=torch.channels_last)

    def work():
        x = F.conv2d(latent, *first, padding=1)
        for part in parts:
            x = part(x)
        return F.conv2d(norm(x), *last, padding=1)

    samples, how = timed(work)
    say("vae_decode", f"{size} x {size}", samples, f"f32 without TF32, channels last, {how}")


PARTS = {
    "linear": linear_part,
    "attention": attention_part,
    "decode": lambda: tokens_part("decode_step", [1]),
    "round": lambda: tokens_part("round", REQUEST["nodes"]),
    "denoise": denoise_part,
    "vae": vae_part,
}
with torch.inference_mode():
    PARTS[PART]()
