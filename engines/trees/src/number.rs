//! The two precisions in which trees compare and add. Pure; no I/O.

/// `f32` or `f64`, as a model compares and adds; and as a row is given, which may be the other.
pub trait Number:
    Copy + PartialOrd + std::ops::AddAssign + Default + std::fmt::Debug + Send + Sync + sealed::Sealed + 'static
{
    /// Of a double float, rounded to the nearest.
    fn of(value: f64) -> Self;
    /// As a double float, which has room for both.
    fn double(self) -> f64;
    /// The next number above: `x <= t` is `x < t.above()`.
    #[must_use]
    fn above(self) -> Self;
}

impl Number for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }

    fn double(self) -> f64 {
        f64::from(self)
    }

    fn above(self) -> Self {
        self.next_up()
    }
}

impl Number for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn double(self) -> f64 {
        self
    }

    fn above(self) -> Self {
        self.next_up()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}
