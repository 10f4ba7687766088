"""The same training in JAX: one jitted scan over all steps, on one core. Requires the extra `bench`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from harness.bench.contenders import BETAS, RATE, Problem, Steps


def jax_loop(problem: Problem) -> Steps:
    """Return `steps(n)`. It compiles once for each n, during the burn-in repeat.

    Raises:
        ImportError: JAX is not installed.
    """
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    loss_of = loss_in_jax(problem)
    B, T, V = problem.batch_size, problem.context_length, problem.vocabulary_size
    E, H = problem.embedding_size, problem.hidden_width
    shapes = {"embedding": (V, E), "w1": (T * E, H), "b1": (H,), "w2": (H, V), "b2": (V,)}
    keys = jax.random.split(jax.random.PRNGKey(0), len(shapes))
    beta1, beta2 = BETAS
    weights = {
        name: 0.1 * jax.random.normal(key, shape) for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }

    def sgd(state: Any, drawn: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(state, *drawn)
        return jax.tree.map(lambda w, g: w - RATE["sgd"] * g, state, gradient), loss

    def adamw(state: Any, drawn: Any) -> Any:
        w, mean, square, step = state
        loss, gradient = jax.value_and_grad(loss_of)(w, *drawn)
        step = step + 1
        mean = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, mean, gradient)
        square = jax.tree.map(lambda s, g: beta2 * s + (1 - beta2) * g * g, square, gradient)

        def moved(weight: Any, m: Any, s: Any) -> Any:
            direction = (m / (1 - beta1**step)) / (jnp.sqrt(s / (1 - beta2**step)) + 1e-8)
            return weight - RATE["adamw"] * direction

        return (jax.tree.map(moved, w, mean, square), mean, square, step), loss

    @partial(jax.jit, donate_argnums=0, static_argnums=2)
    def run(state: Any, key: Any, n: int) -> Any:
        of_batches, of_masks = jax.random.split(key)
        drawn = jax.random.randint(of_batches, (n, B), 0, len(problem.contexts)), jax.random.split(of_masks, n)
        return jax.lax.scan(adamw if problem.optimizer == "adamw" else sgd, state, drawn)

    zeros = partial(jax.tree.map, jnp.zeros_like)
    held: dict[str, Any] = {
        "state": (weights, zeros(weights), zeros(weights), jnp.zeros(())) if problem.optimizer == "adamw" else weights,
        "key": jax.random.PRNGKey(1),
    }

    def steps(n: int) -> None:
        held["key"], key = jax.random.split(held["key"])
        held["state"], losses = run(held["state"], key, n)
        losses.block_until_ready()

    return steps


def loss_in_jax(problem: Problem) -> Callable[[dict[str, Any], Any, Any], Any]:
    """Mean nats of the chosen examples, given weights, their indices, and a key for dropout."""
    import jax
    import jax.numpy as jnp

    contexts = jnp.asarray(problem.contexts.numpy().astype("int32"))
    targets = jnp.asarray(problem.targets.numpy().astype("int32"))
    B, kept = problem.batch_size, 1 - problem.dropout

    def loss_of(w: dict[str, Any], chosen: Any, key: Any) -> Any:
        h = jnp.tanh(w["embedding"][contexts[chosen]].reshape(B, -1) @ w["w1"] + w["b1"])
        if problem.dropout:
            h = jnp.where(jax.random.bernoulli(key, kept, h.shape), h / kept, 0)
        log_p = jax.nn.log_softmax(h @ w["w2"] + w["b2"])
        return -log_p[jnp.arange(B), targets[chosen]].mean()

    return loss_of
