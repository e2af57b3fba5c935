//! What of AVX-512 the hot loops are made of: Intel's server processors have all of it from Ice Lake on, AMD's from
//! Zen 4 on.

/// Says that the processor has `avx512bw`, `avx512dq`, `avx512vl`, `avx512vbmi`, `avx512vbmi2`, `bmi1`, `bmi2`, `lzcnt` and `popcnt`:
/// there is none where it has not. Where one is at hand, functions with these target features may be called; each of them
/// lists the very same, which is what is asked below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

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
