//! What the hot loops are written for, and which of it this processor has.

/// The best that the processor has of what loops are written for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Processor {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// No more than every processor of its architecture has.
    Common,
}

impl Processor {
    #[inline]
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx512) = Avx512::detect() {
            return Self::Avx512(avx512);
        } else if let Some(avx2) = Avx2::detect() {
            return Self::Avx2(avx2);
        }
        Self::Common
    }

    /// AVX2, which processors with AVX-512 have too.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn avx2(self) -> Option<Avx2> {
        match self {
            Self::Avx512(_) => Some(Avx2(())),
            Self::Avx2(avx2) => Some(avx2),
            Self::Common => None,
        }
    }

    /// All that it has, for tests.
    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let more = [Avx512::detect().map(Self::Avx512), Avx2::detect().map(Self::Avx2)];
        #[cfg(not(target_arch = "x86_64"))]
        let more: [Option<Self>; 0] = [];
        more.into_iter().flatten().chain([Self::Common])
    }
}

/// Says that the processor has `avx512bw`, `avx512dq`, `avx512vl`, `avx512vbmi`, `avx512vbmi2`, `bmi1`, `bmi2`, `lzcnt` and `popcnt`,
/// as Intel's server processors have from Ice Lake on and AMD's from Zen 4 on: there is none where it has not. Where one is at
/// hand, functions with these target features may be called; each of them lists the very same, which is what is asked below.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        has_all.then_some(Self(()))
    }
}

/// As [`Avx512`], for `avx2`, `bmi1`, `bmi2`, `lzcnt` and `popcnt`: nearly every processor since 2015.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        has_all.then_some(Self(()))
    }
}
