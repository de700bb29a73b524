//! Macros for the types: structs whose unread fields are left out, and enumerations of words.

/// Whether a field is left out of the document because nothing was read for it.
pub(crate) trait Unset {
    fn is_unset(&self) -> bool {
        false
    }
}

impl<T> Unset for Option<T> {
    fn is_unset(&self) -> bool {
        self.is_none()
    }
}

impl Unset for bool {}
impl Unset for u32 {}
impl Unset for u64 {}
impl Unset for i64 {}
impl Unset for f64 {}
impl Unset for String {}
impl<T> Unset for Vec<T> {}
impl<K, V> Unset for std::collections::BTreeMap<K, V> {}

/// A struct of public fields whose unread (`None`) values are left out when written and may be missing when read.
macro_rules! record {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(skip_serializing_if = "crate::record::Unset::is_unset")]
                pub $field: $type,
            )*
        }

        impl crate::record::Unset for $name {}
    };
}

/// A closed set of words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident,)* }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl crate::record::Unset for $name {}
    };
}
