"""The optimiser step of plain PyTorch that benchmarks race against: velocity prediction, clipped Adam, an average."""

from collections.abc import Callable


def make_train(network, average, images, alpha_bar, batch: int) -> Callable[[int], None]:
    """train(steps) for a PyTorch network on uint8 images, all on the images' device.

    Args:
      network, average: modules x_t [batch, ...], t [batch] -> velocity; the second is the moving average of the first.
      images: uint8 [item, ...].
      alpha_bar: float [step], of the DDPM schedule; steps are drawn in 1..1000.
    """
    import torch

    adam = torch.optim.Adam(network.parameters(), lr=2e-4, fused=True)
    device, over_item = images.device, (batch,) + (1,) * (images.ndim - 1)

    def train(steps: int) -> None:
        for _ in range(steps):
            clean = images[torch.randint(len(images), (batch,), device=device)].float() / 127.5 - 1
            t = torch.randint(1, 1001, (batch,), device=device)
            noise = torch.randn_like(clean)
            mean, std = (a.sqrt().reshape(over_item) for a in (alpha_bar[t], 1 - alpha_bar[t]))
            output = network(mean * clean + std * noise, t.float())
            loss = torch.nn.functional.mse_loss(output, mean * noise - std * clean)
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            adam.step()
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1e-4)

    return train
