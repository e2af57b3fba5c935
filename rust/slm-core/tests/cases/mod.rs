//! How many random cases the properties try.

/// `usual`, or what `make fuzz` asks for if that is more.
pub fn num_cases(usual: u32) -> u32 {
    let asked =
        std::env::var("SLM_FUZZ_CASES").map_or(usual, |number| number.parse().expect("`SLM_FUZZ_CASES` is a number"));
    asked.max(usual)
}
